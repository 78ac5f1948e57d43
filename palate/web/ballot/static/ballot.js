// The page: it fetches pairs ahead of need. An answer goes into the outbox, the next pair is shown
// at once, and the server is told meanwhile.
import { Aspects, undoing, uuid } from '/ballot/aspects.js'
import * as buttons from '/ballot/buttons.js'
import { asWritten, fill } from '/ballot/content.js'
import * as dialogs from '/ballot/dialogs.js'
import { differences } from '/ballot/diff.js'
import * as keys from '/ballot/keys.js'
import { load } from '/ballot/maths.js'
import { Modal } from '/ballot/modal.js'
import { Outbox } from '/ballot/outbox.js'
import * as scrolling from '/ballot/scrolling.js'
import * as settings from '/ballot/settings.js'
import * as sitting from '/ballot/sitting.js'
import * as storage from '/ballot/storage.js'
import { WarmUps } from '/ballot/warmups.js'
import { number, t } from '/ballot/words.js'

const AHEAD = 8 // pairs to hold
const LOW = 4 // pairs below which more are fetched
const ARM_MS = 250 // ignores the second click of a double click
const TEXTS = ['prompt', 'left', 'right']
const MAX_UNDO = 500
const MAX_IDS = 1000 // of a kind in a request
const CONTACT_MS = 60000 // after which the server is asked what this person did elsewhere
const REFRESH_MS = 5000 // between checks for pairs that others hold, or that do not exist yet
const TOAST_MS = 8000
const TOLD_MS = 300 // before the person is told that another tab has the page

const { nameAct } = buttons

function start(root) {
  const $ = (selector) => root.querySelector(selector)
  const modal = new Modal($('.b-dialog'), () => warmUps.next())
  const query = new URLSearchParams(location.search)
  const answered = []
  const warmUps = new WarmUps(modal, answered, () => { shownAt = armedAt = performance.now() })
  const aspects = new Aspects(root)
  const seen = new Set() // an assignment is shown twice only if its answer was undone
  let me = { name: '', guidelines: '', kind: '', steps: 3, aspects: [] }
  let blind = false
  let outbox = null
  let queue = []
  let current = null
  let note = '', shownAs = 'rendered', shownAt = 0, armedAt = 0
  let done = 0, total = null, later = 0
  let paused = false, fetching = false, active = false
  let idleTurn = 0, askedAt = 0

  storage.watch((kept) => { $('.b-unkept').hidden = kept })
  window.addEventListener('beforeunload', (e) => { if (!storage.isKept() && outbox?.unsent().length) e.preventDefault() })
  const device = storage.get('device') || uuid()
  storage.set('device', device)

  // ---- talking to the server
  async function post(path, body, keepalive = false) {
    const control = new AbortController()
    const limit = setTimeout(() => control.abort(), 15000)
    try {
      const headers = { 'content-type': 'application/json', 'x-annotator': encodeURIComponent(me.name) }
      const r = await fetch(path, { method: 'POST', keepalive, signal: control.signal, headers, body: JSON.stringify(body) })
      if (r.status === 401) modal.open(dialogs.signIn(false), { lock: true })
      if (r.status === 403) modal.open(dialogs.refused(me.sign_in), { lock: true })
      if (!r.ok) throw new Error(r.status)
      const answer = await r.json()
      if (answer.aspects && String(answer.aspects) !== String(me.aspects) && !modal.isOpen) modal.open(dialogs.changed(), { lock: true })
      return answer
    } finally { clearTimeout(limit) }
  }

  const isLongAgo = () => performance.now() - askedAt > CONTACT_MS

  async function refill() {
    if (fetching || !active || (queue.length >= LOW && !isLongAgo())) return
    fetching = true
    askedAt = performance.now()
    const entries = outbox.read()
    const have = [...queue, ...(current ? [current] : []), ...answered.map((h) => h.item)].map((item) => item.id)
    have.push(...entries.map((e) => e.event.assignment_id))
    let again = 0
    try {
      const waiting = entries.map((e) => e.event.event_id).slice(-MAX_IDS)
      const r = await post('/api/next', { n: AHEAD - queue.length, have: [...new Set(have)].slice(-MAX_IDS), waiting, device })
      // answers that the server does not have yet count as well
      const isFirst = total === null
      done = r.done + aspects.pairsIn(outbox.read().filter((e) => r.unknown.includes(e.event.event_id) || !waiting.includes(e.event.event_id)))
      total = Math.max(r.total, done)
      later = r.later
      if (isFirst && done && r.items.length && !$('.b-toast').textContent) toast(t('left_off', { n: number(done + 1) }), TOAST_MS)
      paused = r.paused
      outbox.sequence = Math.max(outbox.sequence, r.sequence)
      if (r.items.some((item) => TEXTS.some((f) => item[f].includes('data-math')))) load()
      queue.push(...r.items.filter((a) => !seen.has(a.id) && !queue.some((q) => q.id === a.id)))
      if (!current && queue.length) show(queue.shift()); else progress()
      if (!current) idle()
      if (!current && (later || done < total || !total)) again = REFRESH_MS
    } catch { again = 700 + 600 * Math.random() } finally { fetching = false }
    if (again) setTimeout(refill, again)
  }

  // ---- what is on the screen
  function show(item, parts) {
    const before = current
    current = item || null
    noted('')
    aspects.ask(parts)
    if (item) { root.dataset.state = 'ready'; seen.add(item.id) }
    root.dataset.aid = item ? item.id : ''
    view()
    if (!item) idle()
    const { left = '', right = '' } = item?.written ?? {}
    root.toggleAttribute('data-short', Math.max(left.length, right.length) < 160 && !$('.b-card :is(pre,table,[data-picture])'))
    for (const e of [document.scrollingElement, ...root.querySelectorAll('.b-card,.b-prompt')]) e.scrollTop = 0
    const isChat = Boolean(item?.prompt.startsWith('<div data-role'))
    root.toggleAttribute('data-chat', isChat)
    if (isChat) $('.b-prompt').scrollTop = 1e9 // the turn to answer is the last one
    shownAt = armedAt = performance.now()
    progress()
    if (item && before) { // where a screen reader continues
      const next = t('next_pair', { n: number(Math.min(done + 1, total)), total: number(total) })
      $('.b-live').textContent = `${$('.b-said').textContent}. ${next}`
      $('.b-prompt').dataset.quiet = '' // nobody moved the focus there
      $('.b-prompt').focus({ preventScroll: true })
    }
    setTimeout(refill)
  }

  // Shows the texts rendered, as written or with their differences.
  function view(as = 'rendered') {
    shownAs = as
    for (const f of TEXTS) {
      const element = $(`[data-f=${f}]`)
      if (as === 'written') asWritten(element, current.written[f])
      else fill(element, current ? current[f] : '')
    }
    for (const act of ['diff', 'written']) $(`.b-more [data-act=${act}]`).setAttribute('aria-pressed', String(as === act))
    if (as !== 'diff') return
    const count = differences($('[data-f=left]'), $('[data-f=right]'))
    toast(count ? '' : t(count === 0 ? 'same_words' : 'too_different'), TOAST_MS)
  }
  const turn = (as) => () => { if (current) view(shownAs === as ? 'rendered' : as) }

  async function idle() {
    const text = Object.assign($('[data-f=prompt]'), { lang: document.documentElement.lang }), turn = ++idleTurn
    root.dataset.state = total === null ? 'loading' : done < total ? 'waiting' : 'empty'
    if (total === null || done < total) { text.textContent = total === null ? '' : t('loading_next'); return }
    text.textContent = t(paused ? 'paused' : later ? 'others' : done ? 'done' : 'nothing')
    if (later || !done || outbox.unsent().length) return // this runs again when they have arrived
    try {
      const f = await post('/api/figures', {})
      if (!current && turn === idleTurn) text.insertAdjacentHTML('beforeend', dialogs.figures(f) + (blind ? dialogs.result(true) : ''))
    } catch { /* the thanks are shown without figures */ }
  }

  const progress = () => buttons.progress(root, done, total)

  function changed(news) {
    buttons.sync($('.b-sync'), outbox)
    if (news) refill() // an answer can lead to the next question
  }

  const toast = (text, ms) => buttons.toast($('.b-toast'), text, ms)
  const said = (text) => buttons.said($('.b-said'), text)
  const names = () => buttons.names(me.steps)

  // Writes all words into the page.
  function speak() {
    buttons.label(root, me.steps)
    aspects.show()
    progress()
    if (outbox) changed(false)
  }

  const session = async () => dialogs.openSession(modal, await post('/api/figures', {}).catch(() => null), outbox, me, storage.isKept())

  // ---- what a person can do
  const free = () => current && active && !modal.isOpen && performance.now() - armedAt >= ARM_MS
  const noted = (text) => { note = text; $('.b-more [data-act=note]').classList.toggle('b-on', Boolean(text)) }

  function judge(kind, more = {}) {
    const item = current
    const words = nameAct(kind === 'label' ? `${more.choice}-${more.strength}` : kind === 'both_bad' ? 'bad' : kind)
    said(aspects.name ? `${aspects.name}: ${words}` : words)
    const part = { assignment_id: item.id, kind, comment: note || null, milliseconds: Math.round(performance.now() - shownAt), ...more }
    if (aspects.add(part, words)) { noted(''); armedAt = performance.now(); return }
    const { parts } = aspects, events = aspects.events()
    outbox.put(...events) // stored on this device, or in memory, before the next pair is shown
    answered.push({ item, parts, events, event_id: events.at(-1).event_id })
    if (answered.length > MAX_UNDO) answered.shift()
    done++
    const rest = sitting.answered()
    if (rest || $('.b-toast').textContent) toast(rest || '')
    show(queue.shift())
  }

  function undo() {
    if (!active || modal.isOpen) return
    if (current && aspects.back()) { said(t('undo')); return }
    if (!answered.length) return
    const { item, parts, events } = answered.pop()
    outbox.put(...undoing(events))
    if (current) { seen.delete(current.id); queue.unshift(current) }
    done--
    said(t('undo'))
    show(item, parts.slice(0, -1)) // the answers to its earlier aspects stay
  }

  const say = (kind, more) => () => { if (free()) judge(kind, more) }
  const side = (choice) => (v) => { if (free()) judge('label', { choice, strength: v || 3 }) }
  const acts = {
    left: side('left'), right: side('right'), tie: say('tie'), bad: say('both_bad'), skip: say('skip'), undo, session,
    result: () => current ? modal.open(dialogs.stop()) : acts.stop(),
    stop: async () => {
      outbox.flush()
      if (outbox.unsent().length) { toast(t('sending'), TOAST_MS); return }
      try { location.href = (await post('/api/stop', {})).link } catch { toast(t('silent'), TOAST_MS) }
    },
    menu: () => modal.open(dialogs.menu(nameAct)),
    leave: () => { storage.remove('name'); location.href = location.pathname },
    help: () => { if (modal.isOpen) modal.close(); else modal.open(dialogs.help(me, false, names(), nameAct)) },
    settings: () => settings.open(modal, names(), nameAct, () => { settings.apply(root); speak() }),
    diff: turn('diff'), written: turn('written'),
    note: () => current && modal.ask(t('note_title'), t('note_hint'), t('keep'), false, noted, note),
    flag: () => current && modal.ask(t('flag_title'), t('flag_hint'), t('flag'), false, (text) => {
      outbox.put({ event_id: uuid(), assignment_id: current.id, kind: 'flag', comment: text || null, milliseconds: null })
      toast(t('flagged'), TOAST_MS)
    }),
    rewrite: () => current && modal.ask(t('rewrite_title'), t('rewrite_hint'), t('send'), true, (text) => {
      if (text) judge('rewrite', { text })
    }),
  }
  root.addEventListener('click', (e) => {
    const b = e.target.closest('[data-act]')
    if (!b) return
    if (b.dataset.act === 'below') { scrolling.on(b); return }
    if (modal.element.contains(b)) modal.close()
    if (b.dataset.act !== 'close') acts[b.dataset.act](Number(b.dataset.v) || 0)
    if (e.detail) b.blur() // a click, after which the keys are for the page again
  })
  $('.b-prompt').addEventListener('blur', (e) => { delete e.target.dataset.quiet })
  keys.listen((name) => { const [act, v] = name.split('-'); if (names().includes(name)) acts[act](Number(v) || 0) }, modal)
  scrolling.watch(root, () => settings.get('together') === 'on')

  // pairs that this page holds become free for others once it is left
  window.addEventListener('pagehide', () => {
    if (!active) return
    const have = outbox.read().map((e) => e.event.assignment_id)
    post('/api/next', { n: 0, have, device }, true).catch(() => {})
  })
  // the person may come from another device, where they changed an answer
  for (const event of ['focus', 'pointermove', 'touchstart']) window.addEventListener(event, () => { if (isLongAgo()) refill() }, { passive: true })
  window.addEventListener('pageshow', (e) => { if (e.persisted) location.reload() })

  // ---- who is here, and that they are here in one tab only
  function begin() {
    modal.unlock()
    const send = async (events, keepalive) => (await post('/api/events', { events }, keepalive)).results
    outbox = new Outbox(`${me.browser}:${me.name}`, `${location.pathname}:${me.kind}:${me.name}`, send, changed, (receipts) => warmUps.add(receipts))
    if (outbox.aside) toast(t('aside'), TOAST_MS)
    const go = () => {
      active = true
      modal.unlock()
      changed(false)
      outbox.flush()
      show(null)
      const read = `read:${outbox.name}`
      if (me.guidelines && storage.get(read) !== me.guidelines) modal.open(dialogs.help(me, true, names(), nameAct), { closed: () => { storage.set(read, me.guidelines); shownAt = performance.now() } })
    }
    if (!navigator.locks) { go(); return }
    const told = setTimeout(() => modal.open(dialogs.elsewhere(), { lock: true }), TOLD_MS)
    navigator.locks.request(`palate:${outbox.name}`, () => { clearTimeout(told); go(); return new Promise(() => {}) })
      .catch(() => { clearTimeout(told); if (!active) go() }) // a browser that keeps nothing may refuse locks as well
  }

  const askName = () => modal.askName((name) => {
    storage.set('name', name)
    me.name = name
    begin()
  })

  async function arrive() {
    const answer = await fetch('/api/me').catch(() => null)
    if (!answer?.ok) { setTimeout(arrive, 1000); return }
    me = await answer.json()
    blind = me.kind === 'evaluate'
    aspects.names = me.aspects
    document.title = $('.b-brand').textContent = me.question
    speak()
    if (me.sign_in && !me.name) { modal.open(dialogs.signIn(query.get('sign-in') === 'failed'), { lock: true }); return }
    if (!me.may) { modal.open(dialogs.refused(me.sign_in), { lock: true }); return }
    me.name ||= query.get('as') || storage.get('name') || ''
    if (me.name) begin(); else askName()
  }
  settings.apply(root)
  speak()
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => settings.apply(root))
  arrive()
}

start(document.querySelector('.ballot'))
