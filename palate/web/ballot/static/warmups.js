// Warm-ups: that a pair was one, the server tells with the receipt of its answer.
import { warmUp } from '/ballot/dialogs.js'

export class WarmUps {
  // `answered` is what can be undone; `closed()` is called once a person has read what they are told
  constructor(modal, answered, closed) { Object.assign(this, { modal, answered, closed, list: [] }) }

  add(receipts) {
    for (const { event_id, warm_up } of receipts) {
      const i = this.answered.findIndex((a) => a.event_id === event_id)
      const [{ item } = {}] = i < 0 ? [] : this.answered.splice(i, 1) // no undo, as its answer is known
      this.list.push({ ...warm_up, item })
    }
    this.next()
  }

  next() {
    if (this.modal.isOpen || !this.list.length) return
    const { right, answer, why, item } = this.list.shift()
    this.modal.open(warmUp(right, answer), {
      fill: (d) => {
        d.querySelector('.b-asked').textContent = item ? item.written.prompt.slice(0, 300) : ''
        d.querySelector('[data-f=why]').innerHTML = why
      },
      closed: this.closed,
    })
  }
}
