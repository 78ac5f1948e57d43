// Answers that the Hub does not have yet, in this browser's storage, under the person's name.
// An entry is removed only when its event is on the Hub.
const POLL_MS = 3000
const BATCH = 20

export class Outbox {
  // `send(events, keepalive)` resolves to receipts; `changed(news)` is called after every change
  constructor(name, send, changed) {
    Object.assign(this, { name, send, changed, failures: 0, flushing: false, timer: 0 })
    window.addEventListener('online', () => { this.failures = 0; this.flush() })
    document.addEventListener('visibilitychange', () => { if (document.hidden) this.flush(true) })
  }

  read(what = 'outbox') {
    try { return JSON.parse(localStorage.getItem(`palate:${what}:${this.name}`) || '[]') } catch { return [] }
  }

  write(list, what = 'outbox') { localStorage.setItem(`palate:${what}:${this.name}`, JSON.stringify(list)) }

  unsent() { return this.read().filter((entry) => entry.state !== 'saved') }

  put(event) {
    this.write([...this.read(), { event, state: null, at: 0 }]) // stored before anything is sent
    this.changed(false)
    this.flush()
  }

  // Sends what is due. While a request is under way, the next one waits for its end.
  async flush(keepalive = false) {
    clearTimeout(this.timer)
    const list = this.read()
    if (this.flushing || !list.length) { this.changed(false); return }
    this.flushing = true
    // events that the server has not seen go first, then those it was asked about longest ago
    const batch = list.sort((x, y) => x.at - y.at).slice(0, BATCH)
    let news = false
    try {
      news = this.settle(await this.send(batch.map((entry) => entry.event), keepalive))
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
    let news = false
    for (const entry of this.read()) {
      const r = state.get(entry.event.event_id)
      if (r && r.state !== 'waiting' && entry.state !== 'saved') news = true
      if (r?.state === 'rejected') refused.push({ ...entry.event, reason: r.reason })
      else if (r?.state !== 'published') kept.push(r ? { ...entry, state: r.state, at: Date.now() } : entry)
    }
    this.write(refused, 'refused')
    this.write(kept)
    return news
  }
}
