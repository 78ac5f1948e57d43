// The keys of the page: as they come, off, or the person's own. This device keeps which.
import * as storage from '/ballot/storage.js'

const ARROWS = { ArrowLeft: '←', ArrowRight: '→', ArrowUp: '↑', ArrowDown: '↓', Backspace: '⌫' }
const RESERVED = ['Tab', 'Escape', 'Enter', ' ', 'Shift', 'Control', 'Alt', 'AltGraph', 'Meta', 'CapsLock', 'Dead', 'Unidentified', 'Process']
const LINE = 60 // px that an arrow scrolls
// What there is to do, and its keys; the first is the one that the page shows.
const DEFAULTS = {
  'left-4': ['1'], 'left-3': ['ArrowLeft', '2'], 'left-2': ['3'], 'left-1': ['4'],
  'right-1': ['7'], 'right-2': ['8'], 'right-3': ['ArrowRight', '9'], 'right-4': ['0'],
  tie: ['t', 'ArrowDown'], bad: ['b'], skip: ['x'], undo: ['u', 'Backspace'], diff: ['d'], written: ['r'],
  note: ['c'], flag: ['f'], rewrite: ['w'], help: ['?'],
}
export const NAMES = Object.keys(DEFAULTS)

const kept = () => {
  try { return { off: false, own: {}, ...JSON.parse(storage.get('keys') || '{}') } } catch { return { off: false, own: {} } }
}
let { off, own } = kept()

function keep() { storage.set('keys', JSON.stringify({ off, own })) }

export const areOn = () => !off
export function turn(on) { off = !on; keep() }
export function reset() { own = {}; keep() }

// Gives a key to one thing, and takes it from every other.
export function assign(name, key) {
  for (const other of NAMES) if (keysOf(other).includes(key)) own[other] = own[other] ? '' : own[other]
  own[name] = key
  keep()
}

// Returns the keys of a thing: the person's own, or those that they gave to nothing else.
export function keysOf(name) {
  if (own[name] !== undefined) return own[name] ? [own[name]] : []
  const taken = Object.values(own)
  return DEFAULTS[name].filter((key) => !taken.includes(key))
}

export const shown = (key) => ARROWS[key] ?? key.toUpperCase()

// Returns the key of an event, for any keyboard layout; '' for one that cannot be chosen.
export function keyOf(e) {
  if (RESERVED.includes(e.key)) return ''
  const digit = !e.shiftKey && /^(?:Digit|Numpad)(\d)$/.exec(e.code)?.[1]
  if (digit) return digit
  if (e.key.length > 1) return e.key
  const letter = /^Key([A-Z])$/.exec(e.code)?.[1]
  return /[!-~]/.test(e.key) || !letter ? e.key.toLowerCase() : letter.toLowerCase()
}

const tall = (e) => e && e.scrollHeight > e.clientHeight + 1

// Scrolls by an arrow, or lets the browser do it; tells whether there is something to scroll.
function scrolled({ key, target }) {
  const box = target.closest?.('pre,.b-table,.b-card,.b-prompt')
  if (/^Arrow(Left|Right)$/.test(key)) return box?.matches('pre,.b-table') && box.scrollWidth > box.clientWidth + 1
  if (!/^Arrow(Up|Down)$/.test(key)) return false
  if ([document.scrollingElement, box, box?.closest('.b-card')].some(tall)) return true
  const cards = [...document.querySelectorAll('.b-card')].filter(tall)
  for (const card of cards) card.scrollTop += key === 'ArrowDown' ? LINE : -LINE
  return cards.length > 0
}

// Calls `act(name)` for the keys that are pressed while nothing is open over the page.
export function listen(act, modal) {
  window.addEventListener('keydown', (e) => {
    if (off || e.repeat || e.ctrlKey || e.metaKey || e.altKey || e.isComposing) return
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName)) return
    const key = keyOf(e)
    const name = key && NAMES.find((n) => keysOf(n).includes(key))
    if (modal.isOpen ? name !== 'help' : scrolled(e)) return
    if (name) { e.preventDefault(); act(name) }
  })
}
