// Answers that the Hub does not have yet, in this browser's storage, under the person's name.
// An entry is removed only when its event is on the Hub.
import { get, remove, set } from '/ballot/storage.js'

const POLL_MS = 3000
const MOST_EVENTS = 20 // in a request
const MOST_BYTES = 60000 // in a request: a browser sends 64 KiB at most while the page closes

const isEntry = (entry) => typeof entry?.event?.event_id === 'string' && typeof entry.event.kind === 'string'
const isRefusal = (event) => typeof event?.event_id === 'string'

function parsed(text) {
  try {
    const list = JSON.parse(text || '[]')
    return Array.isArray(list) ? list : null
  } catch { return null }
}

const bytes = (entries) => new Blob(entries.map((e) => JSON.stringify(e.event))).size

// Returns what to send: first what the server has not seen, then what it was asked about longest ago.
// An undo takes its target along, before it: the server may have lost it, or not have kept it yet.
function due(list) {
  const batch = new Set()
  let size = 0
  for (const entry of [...list].sort((x, y) => x.at - y.at)) {
    const { target } = entry.event
    const both = [target && list.find((e) => e.event.event_id === target), entry].filter((e) => e && !batch.has(e))
    size += bytes(both)
    if (batch.size && (size > MOST_BYTES || batch.size + both.length > MOST_EVENTS)) break
    both.forEach((e) => batch.add(e))
  }
  return list.filter((entry) => batch.has(entry))
}

export class Outbox {
  // `send(events, keepalive)` resolves to receipts; `changed(news)` is called after every change,
  // `told(receipts)` with what an answer brought to light
  // `earlier` is the name under which an earlier version kept them
  constructor(name, earlier, send, changed, told) {
    Object.assign(this, { name, send, changed, told, failures: 0, flushing: false, timer: 0, sequence: 0 })
    for (const what of ['outbox', 'refused']) this.adopt(what, earlier)
    this.aside = this.mend('outbox', isEntry) + this.mend('refused', isRefusal)
    window.addEventListener('online', () => { this.failures = 0; this.flush() })
    document.addEventListener('visibilitychange', () => { if (document.hidden) this.flush(true) })
  }

  // Sets aside what is not a list of entries, and keeps the rest; returns whether there was any.
  mend(what, isGood) {
    const text = get(`${what}:${this.name}`)
    const list = parsed(text)
    const good = list?.filter(isGood) ?? []
    if (good.length === list?.length) return 0
    set(`aside:${what}:${this.name}:${Date.now()}`, text)
    this.write(good, what)
    return 1
  }

  adopt(what, earlier) {
    const text = get(`${what}:${earlier}`)
    if (!text || get(`${what}:${this.name}`)) return
    set(`${what}:${this.name}`, text)
    remove(`${what}:${earlier}`)
  }

  read(what = 'outbox') { return parsed(get(`${what}:${this.name}`)) ?? [] }

  write(list, what = 'outbox') { set(`${what}:${this.name}`, JSON.stringify(list)) }

  unsent() { return this.read().filter((entry) => entry.state !== 'saved') }

  // Numbers the events, so that their order does not depend on when, or how often, they arrive.
  // `sequence` is the highest that the server knows; what it does not know yet is in the outbox.
  put(...events) {
    const entries = this.read()
    this.sequence = Math.max(this.sequence, ...entries.map((e) => e.event.sequence || 0))
    for (const event of events) event.sequence = ++this.sequence
    this.write([...entries, ...events.map((event) => ({ event, state: null, at: 0 }))]) // stored, all or none, before anything is sent
    this.changed(false)
    this.flush()
  }

  // Sends what is due. While a request is under way, the next one waits for its end.
  async flush(keepalive = false) {
    clearTimeout(this.timer)
    const list = this.read()
    if (this.flushing || !list.length) { this.changed(false); return }
    this.flushing = true
    let news = false
    try {
      news = this.settle(await this.send(due(list).map((entry) => entry.event), keepalive))
      this.failures = 0
    } catch { this.failures++ } finally { this.flushing = false }
    this.changed(news)
    const left = this.read()
    if (!left.length) return
    const wait = this.failures ? Math.min(15000, 400 * 2 ** Math.min(this.failures, 6)) * (0.7 + 0.6 * Math.random())
      : left.some((entry) => !entry.state) ? 0 : POLL_MS
    this.timer = setTimeout(() => this.flush(), wait)
  }

  // Returns whether the server has taken events that it did not have before.
  settle(receipts) {
    const state = new Map(receipts.map((r) => [r.event_id, r]))
    const refused = this.read('refused')
    const kept = []
    const told = []
    let news = false
    for (const entry of this.read()) {
      const r = state.get(entry.event.event_id)
      const first = r && r.state !== 'waiting' && entry.state !== 'saved'
      if (first) news = true
      if (first && r.warm_up) told.push(r)
      if (r?.state === 'rejected') refused.push({ ...entry.event, reason: r.reason })
      else if (r?.state !== 'published') kept.push(r ? { ...entry, state: r.state, at: Date.now() } : entry)
    }
    this.write(refused, 'refused')
    this.write(kept)
    if (told.length) this.told(told)
    return news
  }
}
