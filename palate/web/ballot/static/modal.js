// The dialog over the page: one at a time, and locked while something has to be settled first.
import { dress } from '/ballot/content.js'
import { field, name as nameForm } from '/ballot/dialogs.js'

export class Modal {
  // `free()` is called whenever nothing is open any more
  constructor(element, free) {
    Object.assign(this, { element, locked: false, onClose: null })
    element.setAttribute('aria-labelledby', 'b-title')
    element.addEventListener('cancel', (e) => { if (this.locked) e.preventDefault() })
    element.addEventListener('close', () => {
      if (this.locked) { element.showModal(); return }
      this.told()
      if (!this.isOpen) free()
    })
  }

  get isOpen() { return this.element.open }

  // `fill(element)` is called on the new content, `closed()` once it is closed
  open(html, { lock = false, fill = null, closed = null } = {}) {
    if (this.locked && this.isOpen) return
    this.locked = lock
    this.element.innerHTML = html
    const title = this.element.querySelector('h2')
    if (title) title.id = 'b-title'
    fill?.(this.element)
    for (const text of this.element.querySelectorAll('.b-md')) dress(text)
    if (!this.isOpen) this.element.showModal()
    this.onClose = closed
    const first = this.element.querySelector('textarea,input:not([type=checkbox]),[autofocus]') || this.element.querySelector('.b-main')
    first?.focus({ preventScroll: true })
    this.element.scrollTop = 0
  }

  close() {
    if (this.locked || !this.isOpen) return
    this.element.close()
    this.told() // what follows may open something else
  }

  told() {
    const call = this.onClose
    this.onClose = null
    call?.()
  }

  unlock() { this.locked = false; this.close() }

  // Asks who is there and calls `take` with the name
  askName(take) {
    this.open(nameForm(), {
      lock: true,
      fill: (element) => element.querySelector('form').addEventListener('submit', (e) => {
        e.preventDefault()
        const name = element.querySelector('input').value.trim()
        if (name) take(name)
      }),
    })
  }

  // Asks for a text and calls `take` with it
  ask(title, hint, action, long, take, text = '') {
    this.open(field(title, hint, action, long), {
      fill: (element) => {
        element.querySelector('textarea').value = text
        element.querySelector('form').addEventListener('submit', (e) => {
          e.preventDefault()
          const answer = element.querySelector('textarea').value.trim()
          this.element.close()
          take(answer)
        })
      },
    })
  }
}
