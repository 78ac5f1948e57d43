// The page's life: pairs come ahead of need, judgements go into the outbox first and then the next
// pair is shown at once. The server hears of it meanwhile.
import * as dialogs from '/ballot/dialogs.js'
import { differences } from '/ballot/diff.js'
import { Outbox } from '/ballot/outbox.js'

const AHEAD = 8
const LOW = 4
const ARM_MS = 250 // a second click of a double click lands within it
const DEEP = 500
const LOOK_MS = 5000 // between looks for pairs that others hold, or that are not there yet
const SITTING_MS = 25 * 60 * 1000 // after which a break is suggested
const PAUSE_MS = 5 * 60 * 1000 // without a judgement: that was a break

const store = (name, value) => value === undefined ? localStorage.getItem(`palate:${name}`) : localStorage.setItem(`palate:${name}`, value)
const uuid = () => crypto.randomUUID ? crypto.randomUUID()
  : [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('')

export function start(element) {
  const root = element.querySelector('.ballot')
  const $ = (selector) => root.querySelector(selector)
  const dialog = $('.b-dialog')
  const blind = root.dataset.kind === 'evaluate'
  const asked = new URLSearchParams(location.search)
  const hist = []
  const seen = new Set() // never show an assignment twice unless it was taken back
  let me = { name: '', guidelines: '' }
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
  let locked = false // the dialog is about something that has to be settled first
  let onClose = null
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
      if (r.status === 401) open(dialogs.signIn(), { lock: true })
      if (r.status === 403) open(dialogs.refused(), { lock: true })
      if (!r.ok) throw new Error(r.status)
      return await r.json()
    } finally { clearTimeout(limit) }
  }

  const judgements = (entries) => entries.reduce((n, { event }) => n + (event.kind === 'undo' ? -1 : event.kind === 'flag' ? 0 : 1), 0)

  async function refill() {
    if (fetching || !active || queue.length >= LOW) return
    fetching = true
    const entries = outbox.read()
    const have = [...queue, ...(current ? [current] : []), ...hist.map((h) => h.item)].map((item) => item.id)
    have.push(...entries.map((e) => e.event.assignment_id))
    let again = 0
    try {
      const waiting = entries.map((e) => e.event.event_id).slice(-1000)
      const r = await post('/api/next', { n: AHEAD - queue.length, have: [...new Set(have)].slice(-1000), waiting, device })
      // answers that the server does not have yet count as well
      done = r.done + judgements(outbox.read().filter((e) => r.unknown.includes(e.event.event_id) || !waiting.includes(e.event.event_id)))
      total = Math.max(r.total, done)
      later = r.later
      queue.push(...r.items.filter((a) => !seen.has(a.id) && !queue.some((q) => q.id === a.id)))
      if (!current && queue.length) show(queue.shift()); else progress()
      if (!current) idle()
      if (!current && (later || done < total || !total)) again = LOOK_MS
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
    if (item && before) { // a screen reader reads on from here
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
    if (later || !done || outbox.unsent().length) return // asked again when they have arrived
    try {
      const f = await post('/api/figures', {})
      if (!current && turn === idleTurn) text.insertAdjacentHTML('beforeend', dialogs.figures(f) + (blind ? dialogs.result.replace('Stop voting and see', 'See') : ''))
    } catch { /* the thanks stand without figures */ }
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
    if (news) refill() // an answer may open the next question
  }

  function open(html, { lock = false, fill = null, closed = null } = {}) {
    if (locked && dialog.open) return
    locked = lock
    dialog.innerHTML = html
    fill?.(dialog)
    if (!dialog.open) dialog.showModal()
    onClose = closed
    ;(dialog.querySelector('textarea,input,[autofocus]') || dialog.querySelector('.b-main'))?.focus()
  }

  function unlock() { locked = false; if (dialog.open) dialog.close() }

  dialog.addEventListener('cancel', (e) => { if (locked) e.preventDefault() })
  dialog.addEventListener('close', () => { if (locked) dialog.showModal(); else { const call = onClose; onClose = null; call?.() } })

  function ask(title, hint, action, long, take, text = '') {
    open(dialogs.field(title, hint, action, long), {
      fill: (d) => {
        d.querySelector('textarea').value = text
        d.querySelector('form').addEventListener('submit', (e) => {
          e.preventDefault()
          const said = d.querySelector('textarea').value.trim()
          dialog.close()
          take(said)
        })
      },
    })
  }

  function toast(text) {
    const t = $('.b-toast')
    t.textContent = text
    t.hidden = !text
  }

  async function session() {
    const f = await post('/api/figures', {}).catch(() => null)
    const waiting = outbox.read().length, unsent = outbox.unsent().length
    const state = unsent ? `${unsent} of them are on this device only, and are sent as soon as the server answers.`
      : waiting ? `All of it is saved; ${waiting} are on their way to the Hub. You may close this page.` : 'All of it is on the Hub. You may close this page.'
    const refusals = outbox.read('refused')
    open(dialogs.session(f, state, refusals.length, me.owner, me.sign_in, blind), {
      fill: (d) => refusals.forEach((r) => {
        const li = document.createElement('li')
        li.textContent = `${r.kind}${r.choice ? ` ${r.choice}` : ''}: ${r.reason}`
        d.querySelector('.b-refused').append(li)
      }),
    })
  }

  // ---- what a person can say
  const free = () => current && active && !dialog.open && performance.now() - shownAt >= ARM_MS

  function judge(kind, more = {}) {
    const item = current
    const event = { event_id: uuid(), assignment_id: item.id, kind, comment: note || null, milliseconds: Math.round(performance.now() - shownAt), ...more }
    hist.push({ item, event_id: event.event_id })
    if (hist.length > DEEP) hist.shift()
    done++
    outbox.put(event) // durable here before the next pair is painted
    rest()
    if (item.gold && kind !== 'skip') {
      const { answer, why } = item.gold
      open(dialogs.gold(more.choice === answer, answer === 'left' ? 'A' : 'B'), {
        fill: (d) => { d.querySelector('[data-f=why]').innerHTML = why }, closed: () => show(queue.shift()),
      })
    } else show(queue.shift())
  }

  function undo() {
    if (!hist.length || !active || dialog.open) return
    const { item, event_id } = hist.pop()
    if (current) { seen.delete(current.id); queue.unshift(current) }
    done--
    outbox.put({ event_id: uuid(), assignment_id: item.id, kind: 'undo', target: event_id, milliseconds: null })
    show(item)
  }

  function rest() {
    const now = Date.now()
    if (now - sitting.last > PAUSE_MS) sitting = { since: now, last: now, count: 0 }
    sitting.last = now
    sitting.count++
    if (now - sitting.since < SITTING_MS) { if (sitting.count % 5 === 0) toast(''); return }
    toast(`${sitting.count} pairs in ${Math.round((now - sitting.since) / 60000)} minutes: a short break keeps your eye fresh.`)
    sitting = { since: now, last: now, count: 0 }
  }

  const say = (kind, more) => () => { if (free()) judge(kind, more) }
  const side = (choice) => (v) => { if (free()) judge('label', { choice, strength: v || 3 }) }
  const acts = {
    left: side('left'), right: side('right'), tie: say('tie'), bad: say('both_bad'), skip: say('skip'), undo, session,
    close: () => unlock(),
    result: () => current ? open(dialogs.stop()) : acts.stop(),
    stop: async () => {
      outbox.flush()
      if (outbox.unsent().length) { toast('Your last votes are being sent; try again in a moment.'); return }
      try { location.href = (await post('/api/stop', {})).link } catch { toast('The server does not answer; try again in a moment.') }
    },
    menu: () => open(dialogs.menu()),
    help: () => { if (dialog.open && !locked) dialog.close(); else open(dialogs.help(me.guidelines, false)) },
    theme: () => store('theme', document.body.classList.toggle('dark') ? 'dark' : 'light'),
    diff: () => {
      if (!current) return
      const b = $('.b-more [data-act=diff]'), on = b.getAttribute('aria-pressed') !== 'true'
      for (const f of ['left', 'right']) $(`[data-f=${f}]`).innerHTML = current[f]
      if (on) toast(differences($('[data-f=left]'), $('[data-f=right]')) ? '' : 'Both say the same in the same words.')
      b.setAttribute('aria-pressed', String(on))
    },
    note: () => current && ask('A note on this pair', 'It goes to the owner with your choice.', 'Keep', false, (text) => {
      note = text
      $('.b-more [data-act=note]').classList.toggle('b-on', Boolean(text))
    }, note),
    flag: () => current && ask('Flag this pair', 'What is wrong with it? You can still choose, or skip it.', 'Flag', false, (text) => {
      outbox.put({ event_id: uuid(), assignment_id: current.id, kind: 'flag', comment: text || null, milliseconds: null })
      toast('Flagged. The owner will see it.')
    }),
    rewrite: () => current && !current.gold && ask('Write a better one', 'It will count as better than both.', 'Send', true, (text) => {
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
    if (dialog.contains(b) && !locked) dialog.close()
    if (b.dataset.act !== 'close') acts[b.dataset.act](Number(b.dataset.v) || 0)
    b.blur()
  })
  window.addEventListener('keydown', (e) => {
    if (e.repeat || e.ctrlKey || e.metaKey || e.altKey || e.isComposing) return
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName) || (dialog.open && e.key !== '?')) return
    const digit = /^Digit(\d)$/.exec(e.code)?.[1] // where the digits are, whatever the layout
    const act = STRENGTH[digit] && !e.shiftKey ? () => acts[STRENGTH[digit][0]](STRENGTH[digit][1]) : KEYS[e.key.length === 1 ? e.key.toLowerCase() : e.key]
    if (act) { e.preventDefault(); act() }
  })

  // what is in hand here is free for others once the page is left
  window.addEventListener('pagehide', () => {
    if (!active) return
    const have = outbox.read().map((e) => e.event.assignment_id)
    post('/api/next', { n: 0, have, device }, true).catch(() => {})
  })
  window.addEventListener('pageshow', (e) => { if (e.persisted) location.reload() })

  // ---- who is here, and in one tab only
  function begin() {
    unlock()
    outbox = new Outbox(`${location.pathname}:${root.dataset.kind}:${me.name}`, async (events, keepalive) => (await post('/api/events', { events }, keepalive)).results, changed)
    const go = () => {
      active = true
      unlock()
      changed(false)
      outbox.flush()
      show(null)
      const read = `read:${outbox.name}`
      if (me.guidelines && store(read) !== me.guidelines) open(dialogs.help(me.guidelines, true), { closed: () => { store(read, me.guidelines); shownAt = performance.now() } })
    }
    if (!navigator.locks) { go(); return }
    open(dialogs.elsewhere(), { lock: true })
    navigator.locks.request(`palate:${outbox.name}`, () => { go(); return new Promise(() => {}) })
  }

  function askName() {
    open(dialogs.name(), {
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
    try { me = await (await fetch('/api/me')).json() } catch { setTimeout(arrive, 1000); return }
    if (me.sign_in && !me.name) { open(dialogs.signIn(), { lock: true }); return }
    if (!me.may) { open(dialogs.refused(), { lock: true }); return }
    me.name ||= asked.get('as') || store('name') || ''
    if (me.name) begin(); else askName()
  }
  arrive()
}
