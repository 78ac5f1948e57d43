// The aspects of a project, such as helpful and safe: a pair is answered in each, one after the
// other with the same keys. Nothing is recorded before the last one is answered.
import { t } from '/ballot/words.js'

export const uuid = () => crypto.randomUUID ? crypto.randomUUID()
  : [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('')

export class Aspects {
  constructor(root) {
    Object.assign(this, { tools: root.querySelector('.b-tools'), list: root.querySelector('.b-aspects'), live: root.querySelector('.b-live'), names: [], parts: [] })
  }

  get name() { return this.names[this.parts.length] }

  // Asks about the aspects that `parts`, the answers so far, do not have.
  ask(parts = []) { this.parts = parts; this.show() }

  // Takes an answer to the aspect that is asked about; tells whether others are left.
  add(part, said) {
    this.parts.push(this.name ? { ...part, aspect: this.name, said } : part)
    this.show()
    if (this.name) this.live.textContent = `${said}. ${this.place()}`
    return Boolean(this.name)
  }

  // Takes back the last answer to this pair; tells whether there was one.
  back() {
    const had = this.parts.pop()
    if (had) this.show()
    return Boolean(had)
  }

  // Returns the answers as events. The first aspect's comes last: it decides that the pair is done.
  events() {
    return this.parts.map(({ said, ...part }) => ({ event_id: uuid(), ...part })).reverse()
  }

  // Returns how many pairs the outbox's entries answer, by their answers in the first aspect.
  pairsIn(entries) {
    const own = entries.filter(({ event }) => event.kind !== 'flag' && (!event.aspect || event.aspect === this.names[0]))
    return own.reduce((n, { event }) => n + (event.kind === 'undo' ? -1 : 1), 0)
  }

  place() { return t('aspect', { name: this.name, n: this.parts.length + 1, total: this.names.length }) }

  show() {
    this.list.hidden = !this.names.length
    if (!this.names.length) return
    this.list.replaceChildren(...this.names.map((name, i) => {
      const li = document.createElement('li')
      li.textContent = name
      li.dir = 'auto'
      if (i < this.parts.length) li.dataset.said = this.parts[i].said
      if (i === this.parts.length) li.ariaCurrent = 'step'
      return li
    }))
    this.tools.ariaLabel = this.name ? `${t('your_answer')}: ${this.place()}` : t('your_answer')
  }
}

// Returns the events that take back others.
export const undoing = (events) => events.map(({ event_id, assignment_id, aspect }) =>
  ({ event_id: uuid(), assignment_id, kind: 'undo', target: event_id, milliseconds: null, ...aspect && { aspect } }))
