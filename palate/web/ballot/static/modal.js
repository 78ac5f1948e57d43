// The dialog over the page: one at a time, and locked while something has to be settled first.
import { dress } from '/ballot/content.js'
import { field } from '/ballot/dialogs.js'

export class Modal {
  // `free()` is called whenever nothing is open any more
  constructor(element, free) {
    Object.assign(this, { element, locked: false, onClose: null })
    element.addEventListener('cancel', (e) => { if (this.locked) e.preventDefault() })
    element.addEventListener('close', () => {
      if (this.locked) { element.showModal(); return }
      const call = this.onClose
      this.onClose = null
      call?.()
      if (!this.isOpen) free()
    })
  }

  get isOpen() { return this.element.open }

  // `fill(element)` is called on the new content, `closed()` once it is closed
  open(html, { lock = false, fill = null, closed = null } = {}) {
    if (this.locked && this.isOpen) return
    this.locked = lock
    this.element.innerHTML = html
    fill?.(this.element)
    for (const text of this.element.querySelectorAll('.b-md')) dress(text)
    if (!this.isOpen) this.element.showModal()
    this.onClose = closed
    ;(this.element.querySelector('textarea,input,[autofocus]') || this.element.querySelector('.b-main'))?.focus()
  }

  close() { if (!this.locked && this.isOpen) this.element.close() }

  unlock() { this.locked = false; this.close() }

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
