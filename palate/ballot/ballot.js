// The page's life: pairs come ahead of need, judgements go into an outbox on this device first and
// leave it only when they are on the Hub. Gradio calls this once with `element`, the page's root.
const root = element.querySelector('.ballot')
const $ = (selector) => root.querySelector(selector)
const AHEAD = 8
const LOW = 4
const ARM_MS = 250 // a second click of a double click lands within it
const POLL_MS = 3000
const DEEP = 500
const asked = new URLSearchParams(location.search)
const hist = []
const seen = new Set() // never show an assignment twice unless it was taken back
let person = ''
let queue = []
let current = null
let shownAt = 0
let done = 0
let total = null
let fetching = false
let flushing = false
let failures = 0
let timer = 0
let active = false

// ---- the outbox: what this person said and the Hub does not hold yet
const key = (what) => `palate:${what}:${location.pathname}:${root.dataset.kind}:${person}`
const read = (what) => {
  try { return JSON.parse(localStorage.getItem(key(what)) || '[]') } catch { return [] }
}
const write = (what, list) => localStorage.setItem(key(what), JSON.stringify(list))
const uuid = () => crypto.randomUUID ? crypto.randomUUID()
  : [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('')

function put(event) {
  const list = read('outbox')
  list.push({ event, state: null, at: 0 })
  write('outbox', list)
  sync()
  flush()
}

function settle(results) {
  const state = new Map(results.map((r) => [r.event_id, r]))
  const refused = read('refused')
  const kept = []
  for (const entry of read('outbox')) {
    const r = state.get(entry.event.event_id)
    if (r?.state === 'rejected') refused.push({ ...entry.event, reason: r.reason })
    else if (r?.state !== 'published') kept.push(r ? { ...entry, state: r.state, at: Date.now() } : entry)
  }
  write('refused', refused)
  write('outbox', kept)
}

async function flush(keepalive = false) {
  clearTimeout(timer)
  const list = read('outbox')
  if (flushing || !person || !list.length) { sync(); return }
  flushing = true
  // what the server has not seen goes first, then what it was asked about longest ago
  const batch = list.sort((x, y) => x.at - y.at).slice(0, 20)
  try {
    const answer = await post('/api/events', { events: batch.map((e) => e.event) }, keepalive)
    settle(answer.results)
    failures = 0
  } catch { failures++ } finally { flushing = false }
  sync()
  const left = read('outbox')
  if (!left.length) return
  const wait = failures ? Math.min(15000, 400 * 2 ** Math.min(failures, 6)) * (0.7 + 0.6 * Math.random())
    : left.some((e) => !e.state) ? 0 : POLL_MS
  timer = setTimeout(flush, wait)
}

function sync() {
  const list = read('outbox')
  const unsent = list.filter((e) => e.state !== 'saved').length
  const refused = read('refused').length
  const s = $('.b-sync')
  s.dataset.s = refused ? 'bad' : unsent ? (failures > 1 || !navigator.onLine ? 'off' : 'busy') : 'ok'
  s.textContent = refused ? `${refused} refused` : unsent ? `${unsent} to send` : list.length ? 'saved' : 'on the Hub'
  s.title = refused ? `Kept on this device: ${read('refused').at(-1).reason}` : ''
}

// ---- talking to the server
async function post(path, body, keepalive = false) {
  const control = new AbortController()
  const limit = setTimeout(() => control.abort(), 15000)
  try {
    const headers = { 'content-type': 'application/json', 'x-annotator': encodeURIComponent(person) }
    const r = await fetch(path, { method: 'POST', keepalive, signal: control.signal, headers, body: JSON.stringify(body) })
    if (r.status === 401) signIn()
    if (!r.ok) throw new Error(r.status)
    return await r.json()
  } finally { clearTimeout(limit) }
}

async function refill() {
  if (fetching || !active || queue.length >= LOW || (total !== null && !queue.length && done >= total)) return
  fetching = true
  const waiting = read('outbox').map((e) => e.event.assignment_id)
  const have = [...queue.map((a) => a.id), ...(current ? [current.id] : []), ...waiting, ...hist.map((h) => h.item.id)]
  let again = 0
  try {
    const r = await post('/api/next', { n: AHEAD - queue.length, have: [...new Set(have)].slice(-1000) })
    // a reload finds what was said before in the outbox, and the server may not know it yet
    const unsent = read('outbox').filter((e) => e.state !== 'saved').map((e) => e.event.kind)
    const ahead = total === null ? unsent.reduce((n, kind) => n + (kind === 'undo' ? -1 : 1), 0) : 0
    total = r.total
    done = Math.max(done, r.done + ahead)
    queue.push(...r.items.filter((a) => !seen.has(a.id) && !queue.some((q) => q.id === a.id)))
    if (!current) show(queue.shift()); else progress()
    if (!r.items.length && !current && done < total) again = 2000
  } catch { again = 700 + 600 * Math.random() } finally { fetching = false }
  if (again) setTimeout(refill, again)
}

// ---- what is on the screen
function show(item) {
  current = item || null
  root.dataset.state = item ? 'ready' : total === null ? 'loading' : 'empty'
  root.dataset.aid = item ? item.id : ''
  if (item) seen.add(item.id)
  const idle = total === null ? 'Loading the first pairs …'
    : done >= total ? `Thank you. You have judged ${done === 1 ? 'the one pair' : `all ${done} pairs`} there are.`
      : 'Loading the next pair …'
  for (const f of ['prompt', 'left', 'right']) $(`[data-f=${f}]`).innerHTML = item ? item[f] : ''
  if (!item) $('[data-f=prompt]').textContent = idle
  const longest = Math.max(...['left', 'right'].map((f) => $(`[data-f=${f}]`).textContent.length))
  root.toggleAttribute('data-short', longest < 160)
  root.querySelectorAll('.b-card').forEach((c) => { c.scrollTop = 0 })
  shownAt = performance.now()
  progress()
  refill()
}

function progress() {
  const bar = $('.b-bar')
  $('.b-count').textContent = total === null ? '' : `${Math.min(done, total)} / ${total}`
  bar.ariaValueMax = total ?? 0
  bar.ariaValueNow = done
  bar.firstElementChild.style.transform = `scaleX(${total ? Math.min(1, done / total) : 0})`
}

function over(html) {
  const o = $('.b-over')
  o.hidden = !html
  o.innerHTML = html || ''
  o.querySelector('input,a,button')?.focus()
}

function help() {
  if (!$('.b-over').hidden) { if (active) over(''); return }
  over(`<div class="b-help"><h2>Keys</h2><dl>
    <dt><kbd>←</kbd> <kbd>→</kbd></dt><dd>left or right is better</dd>
    <dt><kbd>A</kbd> <kbd>S</kbd> <kbd>D</kbd> <kbd>F</kbd></dt><dd>left is much better … barely better</dd>
    <dt><kbd>J</kbd> <kbd>K</kbd> <kbd>L</kbd> <kbd>;</kbd></dt><dd>right is barely better … much better</dd>
    <dt><kbd>↓</kbd> or <kbd>space</kbd></dt><dd>a tie</dd><dt><kbd>X</kbd></dt><dd>skip</dd>
    <dt><kbd>U</kbd></dt><dd>take the last one back, as often as you like</dd></dl>
    <p>What you say is kept on this device until it is on the Hub.</p>
    <button data-act="help">Close</button></div>`)
}

// ---- what a person can say
function judge(kind, choice = null, strength = null) {
  if (!current || !active || !$('.b-over').hidden || performance.now() - shownAt < ARM_MS) return
  const event = {
    event_id: uuid(), assignment_id: current.id, kind, choice, strength,
    milliseconds: Math.round(performance.now() - shownAt),
  }
  hist.push({ item: current, event_id: event.event_id })
  if (hist.length > DEEP) hist.shift()
  done++
  put(event) // durable here before the next pair is painted
  show(queue.shift())
}

function undo() {
  if (!hist.length || !active || !$('.b-over').hidden) return
  const { item, event_id } = hist.pop()
  if (current) { seen.delete(current.id); queue.unshift(current) }
  done--
  put({ event_id: uuid(), assignment_id: item.id, kind: 'undo', target: event_id, milliseconds: null })
  show(item)
}

const acts = {
  left: (v) => judge('label', 'left', v || 3),
  right: (v) => judge('label', 'right', v || 3),
  tie: () => judge('tie'),
  skip: () => judge('skip'),
  undo,
  help,
  theme: () => {
    const dark = document.body.classList.toggle('dark')
    localStorage.setItem('palate:theme', dark ? 'dark' : 'light')
  },
}
const STRENGTH = { a: ['left', 4], s: ['left', 3], d: ['left', 2], f: ['left', 1], j: ['right', 1], k: ['right', 2], l: ['right', 3], ';': ['right', 4] }
const KEYS = {
  ArrowLeft: acts.left, 1: acts.left, ArrowRight: acts.right, 2: acts.right,
  ArrowDown: acts.tie, ' ': acts.tie, t: acts.tie, 0: acts.tie,
  x: acts.skip, u: undo, Backspace: undo, '?': help, Escape: () => active && over(''),
}
for (const [k, [side, v]] of Object.entries(STRENGTH)) KEYS[k] = () => acts[side](v)

root.addEventListener('click', (e) => {
  const b = e.target.closest('[data-act]')
  if (!b) return
  acts[b.dataset.act](Number(b.dataset.v) || 0)
  b.blur()
})
window.addEventListener('keydown', (e) => {
  if (e.repeat || e.ctrlKey || e.metaKey || e.altKey || e.isComposing) return
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName)) return
  const act = KEYS[e.key.length === 1 ? e.key.toLowerCase() : e.key]
  if (act) { e.preventDefault(); act() }
})
window.addEventListener('online', () => { failures = 0; flush() })
document.addEventListener('visibilitychange', () => { if (document.hidden) flush(true) })

// ---- who is here, and in one tab only
function begin() {
  over('')
  const start = () => { active = true; over(''); sync(); flush(); show(null) }
  if (!navigator.locks) { start(); return }
  over('<p>This page is open in another tab. It goes on here when you close that one.</p>')
  navigator.locks.request(key('tab'), () => { start(); return new Promise(() => {}) })
}

function askName() {
  over('<form class="b-name"><label for="b-name">Your name</label><p>It stays in Argilla; what is published carries a pseudonym.</p><input id="b-name" maxlength="80" autocomplete="nickname" required><button>Start</button></form>')
  $('.b-name').addEventListener('submit', (e) => {
    e.preventDefault()
    const name = $('.b-name input').value.trim()
    if (!name) return
    localStorage.setItem('palate:name', name)
    person = name
    begin()
  })
}

function signIn() {
  over('<div class="b-help"><p>Sign in to go on. What you said is kept on this device.</p><a class="b-button" href="/login/huggingface">Sign in with Hugging Face</a></div>')
}

async function arrive() {
  const chosen = localStorage.getItem('palate:theme')
  if (chosen) document.body.classList.toggle('dark', chosen === 'dark')
  else if (matchMedia('(prefers-color-scheme: dark)').matches) document.body.classList.add('dark')
  try {
    const me = await (await fetch('/api/me')).json()
    if (me.sign_in && !me.name) { signIn(); return }
    person = me.name || asked.get('as') || localStorage.getItem('palate:name') || ''
  } catch { setTimeout(arrive, 1000); return }
  if (person) begin(); else askName()
}
arrive()
