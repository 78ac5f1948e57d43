// The words of the page: on each button what it records, and its key; what was just recorded.
import * as keys from '/ballot/keys.js'
import { label as write, number, t } from '/ballot/words.js'

const SIDES = { left: 'A', right: 'B' }
const STRENGTHS = { 4: 'much', 3: 'better', 2: 'slightly', 1: 'barely' }
const CONFIRM_MS = 3000
let timer = 0, confirmed = 0

// Returns the things that have a key, where a project has so many steps of "better".
export const names = (steps) => keys.NAMES.filter((name) => steps > 3 || !/^(left|right)-1$/.test(name))

// Says in words what a key or a button does.
export function nameAct(name) {
  const [act, v] = name.split('-')
  return v ? `${SIDES[act]}: ${t(STRENGTHS[v])}` : t(act === 'session' ? 'your_session' : act)
}

const element = (tag, textContent) => Object.assign(document.createElement(tag), { textContent })

function labelButton(b) {
  const { act, v } = b.dataset
  const [key] = keys.areOn() ? keys.keysOf(v ? `${act}-${v}` : act) : []
  const text = element('span', t(v ? STRENGTHS[v] : act))
  if (v) {
    text.dataset.side = SIDES[act]
    b.ariaLabel = `${nameAct(`${act}-${v}`)}${key ? ` ${keys.shown(key)}` : ''}`
  }
  b.replaceChildren(text, ...key ? [' ', element('kbd', keys.shown(key))] : [])
}

export function label(root, steps) {
  write(root)
  root.dataset.steps = steps
  root.querySelectorAll('.b-tools [data-act]:not(.b-below,.b-menu)').forEach(labelButton)
  for (const [side, letter] of Object.entries(SIDES)) {
    root.querySelector(`.b-card[data-side=${side}]`).ariaLabel = t('answer', { side: letter })
    root.querySelector(`.b-scale[data-side=${side}]`).ariaLabel = t('is_better', { side: letter })
  }
  for (const text of root.querySelectorAll('.b-card .b-md')) text.dataset.empty = t('empty')
}

// Shows a text over the page: until the next one, or for so long.
export function toast(box, text, ms = 0) {
  clearTimeout(timer)
  Object.assign(box, { textContent: text, hidden: !text })
  if (text && ms) timer = setTimeout(() => toast(box, ''), ms)
}

// Confirms what was just recorded, or taken back. (An animation would draw the page all the while.)
export function said(box, text) {
  clearTimeout(confirmed)
  box.textContent = text
  box.dataset.fresh = ''
  confirmed = setTimeout(() => { delete box.dataset.fresh }, CONFIRM_MS)
}

export function progress(root, done, total) {
  const bar = root.querySelector('.b-bar'), text = root.querySelector('.b-count')
  text.textContent = total === null ? '' : `${number(Math.min(done, total))} / ${number(total)}`
  text.title = t('count_why')
  bar.ariaValueMax = total ?? 0
  bar.ariaValueNow = Math.min(done, total ?? 0)
  bar.firstElementChild.style.transform = `scaleX(${total ? Math.min(1, done / total) : 0})`
}

// Says where the answers are.
export function sync(chip, outbox) {
  const unsent = outbox.unsent().length, refused = outbox.read('refused').length
  chip.dataset.s = refused ? 'bad' : unsent ? (outbox.failures > 1 || !navigator.onLine ? 'off' : 'busy') : 'ok'
  const text = refused ? t('refused', { n: number(refused) }) : unsent ? t('to_send', { n: number(unsent) }) : t(outbox.read().length ? 'saved' : 'on_hub')
  if (chip.firstElementChild.textContent !== text) chip.firstElementChild.textContent = text
}
