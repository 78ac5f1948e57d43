// The page: it fetches pairs ahead of need. An answer goes into the outbox, the next pair is shown
// at once, and the server is told meanwhile.
import * as dialogs from '/ballot/dialogs.js'
import { differences } from '/ballot/diff.js'
import { Modal } from '/ballot/modal.js'
import { Outbox } from '/ballot/outbox.js'

const AHEAD = 8 // pairs to hold
const LOW = 4 // pairs below which more are fetched
const ARM_MS = 250 // ignores the second click of a double click
const MAX_UNDO = 500
const MAX_IDS = 1000 // of a kind in a request
const REFRESH_MS = 5000 // between checks for pairs that others hold, or that do not exist yet
const SITTING_MS = 25 * 60 * 1000 // after which a break is suggested
const BREAK_MS = 5 * 60 * 1000 // without an answer: that was a break

const store = (name, value) => value === undefined ? localStorage.getItem(`palate:${name}`) : localStorage.setItem(`palate:${name}`, value)
const uuid = () => crypto.randomUUID ? crypto.randomUUID()
  : [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('')

export function start(root) {
  const $ = (selector) => root.querySelector(selector)
  const modal = new Modal($('.b-dialog'))
  const query = new URLSearchParams(location.search)
  const answered = []
  const seen = new Set() // an assignment is shown twice only if its answer was undone
  let me = { name: '', guidelines: '', kind: '' }
  let blind = false
  let outbox = null
  let queue = []
  let current = null
  let note = ''
  let shownAt = 0
  let done = 0
  let total = null
  let later = 0
  let fetching = false
  let active = false
  let idleTurn = 0
  let sitting = { since: Date.now(), last: Date.now(), count: 0 }

  const device = store('device') || uuid()
  store('device', device)

  // ---- talking to the server
  async function post(path, body, keepalive = false) {
    const control = new AbortController()
    const limit = setTimeout(() => control.abort(), 15000)
    try {
      const headers = { 'content-type': 'application/json', 'x-annotator': encodeURIComponent(me.name) }
      const r = await fetch(path, { method: 'POST', keepalive, signal: control.signal, headers, body: JSON.stringify(body) })
      if (r.status === 401) modal.open(dialogs.signIn(), { lock: true })
      if (r.status === 403) modal.open(dialogs.refused(), { lock: true })
      if (!r.ok) throw new Error(r.status)
      return await r.json()
    } finally { clearTimeout(limit) }
  }

  const judgements = (entries) => entries.reduce((n, { event }) => n + (event.kind === 'undo' ? -1 : event.kind === 'flag' ? 0 : 1), 0)

  async function refill() {
    if (fetching || !active || queue.length >= LOW) return
    fetching = true
    const entries = outbox.read()
    const have = [...queue, ...(current ? [current] : []), ...answered.map((h) => h.item)].map((item) => item.id)
    have.push(...entries.map((e) => e.event.assignment_id))
    let again = 0
    try {
      const waiting = entries.map((e) => e.event.event_id).slice(-MAX_IDS)
      const r = await post('/api/next', { n: AHEAD - queue.length, have: [...new Set(have)].slice(-MAX_IDS), waiting, device })
      // answers that the server does not have yet count as well
      done = r.done + judgements(outbox.read().filter((e) => r.unknown.includes(e.event.event_id) || !waiting.includes(e.event.event_id)))
      total = Math.max(r.total, done)
      later = r.later
      queue.push(...r.items.filter((a) => !seen.has(a.id) && !queue.some((q) => q.id === a.id)))
      if (!current && queue.length) show(queue.shift()); else progress()
      if (!current) idle()
      if (!current && (later || done < total || !total)) again = REFRESH_MS
    } catch { again = 700 + 600 * Math.random() } finally { fetching = false }
    if (again) setTimeout(refill, again)
  }

  // ---- what is on the screen
  function show(item) {
    const before = current
    current = item || null
    note = ''
    if (item) root.dataset.state = 'ready'
    root.dataset.aid = item ? item.id : ''
    if (item) seen.add(item.id)
    for (const f of ['prompt', 'left', 'right']) $(`[data-f=${f}]`).innerHTML = item ? item[f] : ''
    if (!item) idle()
    const longest = Math.max(...['left', 'right'].map((f) => $(`[data-f=${f}]`).textContent.length))
    root.toggleAttribute('data-short', longest < 160)
    root.querySelectorAll('.b-card').forEach((c) => { c.scrollTop = 0 })
    $('.b-more [data-act=diff]').setAttribute('aria-pressed', 'false')
    $('.b-more [data-act=note]').classList.remove('b-on')
    shownAt = performance.now()
    progress()
    if (item && before) { // where a screen reader continues
      $('.b-live').textContent = `Next pair, ${Math.min(done + 1, total)} of about ${total}`
      $('.b-prompt').focus({ preventScroll: true })
    }
    if (queue.length < LOW) setTimeout(refill)
  }

  async function idle() {
    const text = $('[data-f=prompt]'), turn = ++idleTurn
    root.dataset.state = total === null ? 'loading' : done < total ? 'waiting' : 'empty'
    if (total === null || done < total) { text.textContent = total === null ? 'Loading the first pairs …' : 'Loading the next pair …'; return }
    text.textContent = later ? 'Others are working on the last pairs. This page will refresh.'
      : done ? 'Thank you, you are done.' : 'There is nothing to judge yet.'
    if (later || !done || outbox.unsent().length) return // this runs again when they have arrived
    try {
      const f = await post('/api/figures', {})
      if (!current && turn === idleTurn) text.insertAdjacentHTML('beforeend', dialogs.figures(f) + (blind ? dialogs.resultAtEnd : ''))
    } catch { /* the thanks are shown without figures */ }
  }

  function progress() {
    const bar = $('.b-bar')
    $('.b-count').textContent = total === null ? '' : `${Math.min(done, total)} / ${total}`
    bar.ariaValueMax = total ?? 0
    bar.ariaValueNow = done
    bar.firstElementChild.style.transform = `scaleX(${total ? Math.min(1, done / total) : 0})`
  }

  function changed(news) {
    const unsent = outbox.unsent().length
    const refused = outbox.read('refused').length
    const chip = $('.b-sync')
    chip.dataset.s = refused ? 'bad' : unsent ? (outbox.failures > 1 || !navigator.onLine ? 'off' : 'busy') : 'ok'
    const text = refused ? `${refused} refused` : unsent ? `${unsent} to send` : outbox.read().length ? 'saved' : 'on the Hub'
    if (chip.firstElementChild.textContent !== text) chip.firstElementChild.textContent = text
    if (news) refill() // an answer can lead to the next question
  }

  const toast = (text) => Object.assign($('.b-toast'), { textContent: text, hidden: !text })

  async function session() {
    const f = await post('/api/figures', {}).catch(() => null)
    const waiting = outbox.read().length, unsent = outbox.unsent().length
    const state = unsent ? `${unsent} ${unsent === 1 ? 'answer is' : 'answers are'} on this device only, and will be sent when the server responds.`
      : waiting ? `All answers are saved; ${waiting} ${waiting === 1 ? 'is' : 'are'} on the way to the Hub. You can close this page.` : 'All answers are on the Hub. You can close this page.'
    const refusals = outbox.read('refused')
    modal.open(dialogs.session(f, state, refusals.length, me.owner, me.sign_in, blind), {
      fill: (d) => refusals.forEach((r) => {
        const li = document.createElement('li')
        li.textContent = `${r.kind}${r.choice ? ` ${r.choice}` : ''}: ${r.reason}`
        d.querySelector('.b-refused').append(li)
      }),
    })
  }

  // ---- what a person can do
  const free = () => current && active && !modal.isOpen && performance.now() - shownAt >= ARM_MS

  function judge(kind, more = {}) {
    const item = current
    const event = { event_id: uuid(), assignment_id: item.id, kind, comment: note || null, milliseconds: Math.round(performance.now() - shownAt), ...more }
    answered.push({ item, event_id: event.event_id })
    if (answered.length > MAX_UNDO) answered.shift()
    done++
    outbox.put(event) // stored on this device before the next pair is shown
    rest()
    if (item.gold && kind !== 'skip') {
      const { answer, why } = item.gold
      modal.open(dialogs.gold(more.choice === answer, answer === 'left' ? 'A' : 'B'), {
        fill: (d) => { d.querySelector('[data-f=why]').innerHTML = why }, closed: () => show(queue.shift()),
      })
    } else show(queue.shift())
  }

  function undo() {
    if (!answered.length || !active || modal.isOpen) return
    const { item, event_id } = answered.pop()
    if (current) { seen.delete(current.id); queue.unshift(current) }
    done--
    outbox.put({ event_id: uuid(), assignment_id: item.id, kind: 'undo', target: event_id, milliseconds: null })
    show(item)
  }

  function rest() {
    const now = Date.now()
    if (now - sitting.last > BREAK_MS) sitting = { since: now, last: now, count: 0 }
    sitting.last = now
    sitting.count++
    if (now - sitting.since < SITTING_MS) { if (sitting.count % 5 === 0) toast(''); return }
    toast(`${sitting.count} pairs in ${Math.round((now - sitting.since) / 60000)} minutes. Take a short break to keep a fresh eye.`)
    sitting = { since: now, last: now, count: 0 }
  }

  const say = (kind, more) => () => { if (free()) judge(kind, more) }
  const side = (choice) => (v) => { if (free()) judge('label', { choice, strength: v || 3 }) }
  const acts = {
    left: side('left'), right: side('right'), tie: say('tie'), bad: say('both_bad'), skip: say('skip'), undo, session,
    result: () => current ? modal.open(dialogs.stop()) : acts.stop(),
    stop: async () => {
      outbox.flush()
      if (outbox.unsent().length) { toast('Your last votes are being sent. Try again in a moment.'); return }
      try { location.href = (await post('/api/stop', {})).link } catch { toast('The server does not respond. Try again in a moment.') }
    },
    menu: () => modal.open(dialogs.menu()),
    help: () => { if (modal.isOpen) modal.close(); else modal.open(dialogs.help(me.guidelines, false)) },
    theme: () => store('theme', document.body.classList.toggle('dark') ? 'dark' : 'light'),
    diff: () => {
      if (!current) return
      const b = $('.b-more [data-act=diff]'), on = b.getAttribute('aria-pressed') !== 'true'
      for (const f of ['left', 'right']) $(`[data-f=${f}]`).innerHTML = current[f]
      if (on) toast(differences($('[data-f=left]'), $('[data-f=right]')) ? '' : 'Both answers have the same words.')
      b.setAttribute('aria-pressed', String(on))
    },
    note: () => current && modal.ask('Add a note on this pair', 'The owner sees it with your answer.', 'Keep', false, (text) => {
      note = text
      $('.b-more [data-act=note]').classList.toggle('b-on', Boolean(text))
    }, note),
    flag: () => current && modal.ask('Flag this pair', 'What is wrong with it? You can still answer or skip it.', 'Flag', false, (text) => {
      outbox.put({ event_id: uuid(), assignment_id: current.id, kind: 'flag', comment: text || null, milliseconds: null })
      toast('Flagged. The owner will see it.')
    }),
    rewrite: () => current && !current.gold && modal.ask('Write a better answer', 'It counts as better than both.', 'Send', true, (text) => {
      if (text) judge('rewrite', { text })
    }),
  }
  const KEYS = {
    ArrowLeft: acts.left, ArrowRight: acts.right, ArrowDown: acts.tie, t: acts.tie, b: acts.bad, x: acts.skip, u: undo, Backspace: undo,
    d: acts.diff, c: acts.note, f: acts.flag, w: acts.rewrite, '?': acts.help,
  }
  const STRENGTH = { 1: ['left', 4], 2: ['left', 3], 3: ['left', 2], 4: ['left', 1], 7: ['right', 1], 8: ['right', 2], 9: ['right', 3], 0: ['right', 4] }

  root.addEventListener('click', (e) => {
    const b = e.target.closest('[data-act]')
    if (!b) return
    if (modal.element.contains(b)) modal.close()
    if (b.dataset.act !== 'close') acts[b.dataset.act](Number(b.dataset.v) || 0)
    b.blur()
  })
  window.addEventListener('keydown', (e) => {
    if (e.repeat || e.ctrlKey || e.metaKey || e.altKey || e.isComposing) return
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName) || (modal.isOpen && e.key !== '?')) return
    const digit = /^Digit(\d)$/.exec(e.code)?.[1] // by position, for any keyboard layout
    const act = STRENGTH[digit] && !e.shiftKey ? () => acts[STRENGTH[digit][0]](STRENGTH[digit][1]) : KEYS[e.key.length === 1 ? e.key.toLowerCase() : e.key]
    if (act) { e.preventDefault(); act() }
  })

  // pairs that this page holds become free for others once it is left
  window.addEventListener('pagehide', () => {
    if (!active) return
    const have = outbox.read().map((e) => e.event.assignment_id)
    post('/api/next', { n: 0, have, device }, true).catch(() => {})
  })
  window.addEventListener('pageshow', (e) => { if (e.persisted) location.reload() })

  // ---- who is here, and that they are here in one tab only
  function begin() {
    modal.unlock()
    outbox = new Outbox(`${location.pathname}:${me.kind}:${me.name}`, async (events, keepalive) => (await post('/api/events', { events }, keepalive)).results, changed)
    const go = () => {
      active = true
      modal.unlock()
      changed(false)
      outbox.flush()
      show(null)
      const read = `read:${outbox.name}`
      if (me.guidelines && store(read) !== me.guidelines) modal.open(dialogs.help(me.guidelines, true), { closed: () => { store(read, me.guidelines); shownAt = performance.now() } })
    }
    if (!navigator.locks) { go(); return }
    modal.open(dialogs.elsewhere(), { lock: true })
    navigator.locks.request(`palate:${outbox.name}`, () => { go(); return new Promise(() => {}) })
  }

  function askName() {
    modal.open(dialogs.name(), {
      lock: true,
      fill: (d) => d.querySelector('form').addEventListener('submit', (e) => {
        e.preventDefault()
        const name = d.querySelector('input').value.trim()
        if (!name) return
        store('name', name)
        me.name = name
        begin()
      }),
    })
  }

  async function arrive() {
    const chosen = store('theme')
    if (chosen) document.body.classList.toggle('dark', chosen === 'dark')
    else if (matchMedia('(prefers-color-scheme: dark)').matches) document.body.classList.add('dark')
    const answer = await fetch('/api/me').catch(() => null)
    if (!answer?.ok) { setTimeout(arrive, 1000); return }
    me = await answer.json()
    blind = me.kind === 'evaluate'
    document.title = $('.b-brand').textContent = me.question
    root.setAttribute('aria-label', me.question)
    if (me.sign_in && !me.name) { modal.open(dialogs.signIn(), { lock: true }); return }
    if (!me.may) { modal.open(dialogs.refused(), { lock: true }); return }
    me.name ||= query.get('as') || store('name') || ''
    if (me.name) begin(); else askName()
  }
  arrive()
}
