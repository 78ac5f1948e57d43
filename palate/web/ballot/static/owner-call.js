// What the parts of the owner's page share: calls of the server, and elements made of text alone.

// Returns the answer, or throws an error with the server's words, its status, and what is there `now`.
export async function call(name, body = {}) {
  let answer
  try {
    const headers = { 'content-type': 'application/json' }
    answer = await fetch(`/owner/${name}${location.search}`, { method: 'POST', headers, body: JSON.stringify(body) })
  } catch { throw new Error('The server does not respond. Try again in a moment.') }
  const content = await answer.json().catch(() => ({ error: 'The Space is starting again. Try again in a moment.' }))
  if (!answer.ok) throw Object.assign(new Error(content.error), { status: answer.status, now: content.now })
  return content
}

// Returns an element; `more` are its properties, and children are elements or texts.
export function el(tag, more = {}, ...children) {
  const { data = {}, ...properties } = more
  const element = Object.assign(document.createElement(tag), properties)
  Object.assign(element.dataset, data)
  element.append(...children.filter((child) => child !== null && child !== ''))
  return element
}

export const button = (text, click, more = {}) => {
  const element = el('button', { type: 'button', textContent: text, ...more })
  element.addEventListener('click', () => busy(element, click))
  return element
}

// Returns what brings the focus back to an element, or to what was drawn in its place.
function returning(element) {
  const box = element.closest('[id]')
  const all = () => [...box.querySelectorAll('button:enabled,a[href]')].filter((e) => e.checkVisibility())
  const at = all().indexOf(element)
  return () => (element.isConnected ? element : all()[Math.min(at, all().length - 1)])?.focus()
}

// Runs what a button does: it is disabled meanwhile, and a failure is shown after it. The person who
// pressed it with the keyboard goes on from there, also when a dialog that it opened is closed.
export async function busy(element, work) {
  const back = document.activeElement === element ? returning(element) : null
  const own = element.closest('dialog')
  element.parentElement?.querySelectorAll(':scope > .bad').forEach((old) => old.remove())
  element.disabled = true
  try { await work() } catch (error) {
    element.after(el('p', { className: 'bad', role: 'alert', textContent: error.message }))
  } finally {
    element.disabled = false
    const dialog = $('dialog[open]')
    if (back && dialog && own !== dialog) dialog.addEventListener('close', back, { once: true })
    else if (back && [document.body, dialog].includes(document.activeElement)) back()
  }
}

export const $ = (selector) => document.querySelector(selector)

export const time = (iso) => iso ? new Date(iso).toLocaleString('en', { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' }) : ''

export const count = (n, one, many = `${one}s`) => `${n.toLocaleString('en')} ${n === 1 ? one : many}`

export function copyable(command) {
  const box = el('span', { className: 'command' }, el('code', { textContent: command, tabIndex: 0 }))
  const copy = button('Copy', async () => {
    try { await navigator.clipboard.writeText(command) } catch {
      getSelection().selectAllChildren(box.firstElementChild)
      document.execCommand('copy')
    }
    copy.textContent = 'Copied'
    setTimeout(() => { copy.textContent = 'Copy' }, 1500)
  })
  box.append(copy)
  return box
}

// The names of annotators by pseudonym, once `home.js` knows them.
export const names = {}
export const nameOf = (who) => names[who] || who

const STRENGTHS = { 1: 'barely better', 2: 'slightly better', 3: 'better', 4: 'much better' }
const KINDS = { tie: 'tie', both_bad: 'both bad', skip: 'skipped', undo: 'took an answer back', flag: 'flag', rewrite: 'wrote a better answer' }

// Says what an event says, in words.
const what = (row) => row.kind === 'label' ? `${row.side} ${STRENGTHS[row.strength] || 'better'}` : KINDS[row.kind] || row.kind
export const words = (row) => row.aspect ? `${row.aspect}: ${what(row)}` : what(row)
export const by = (row) => row.via === 'owner' ? 'corrected by an owner' : row.via === 'argilla' ? 'in Argilla' : row.via === 'import' ? 'imported' : ''

// Calls `open(part of the hash)` whenever the section is shown.
const shown = {}
export const onShow = (section, open) => { shown[section] = open }

export function route() {
  const [section, rest = ''] = location.hash.slice(1).split('/')
  const known = $(`section[id="${CSS.escape(section)}"]`) ? section : 'home'
  for (const part of document.querySelectorAll('main > section')) part.hidden = part.id !== known
  for (const link of document.querySelectorAll('.tabs a')) {
    if (link.hash === `#${known}`) link.setAttribute('aria-current', 'page')
    else link.removeAttribute('aria-current')
  }
  shown[known]?.(rest)
}
