// Shows a text: as the HTML that the server made safe of it, or as it is written.
import { typeset } from '/ballot/maths.js'
import { show } from '/ballot/pictures.js'
import { t } from '/ballot/words.js'

const PARAGRAPHS = 'p,li,h1,h2,h3,h4,h5,h6,td,th'
const CONTAINERS = 'ul,ol,blockquote,table'
const STARTS_RIGHT_TO_LEFT = /^\P{L}*[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u
const ROOM_DIGITS = 2 // of a list's numbers, for which the style sheet has room
const COPIED_MS = 1500

const element = (tag, more) => Object.assign(document.createElement(tag), more)

async function copy(button, pre) {
  try { await navigator.clipboard.writeText(pre.textContent) } catch { // not allowed in a frame of another site
    getSelection().selectAllChildren(pre)
    document.execCommand('copy')
  }
  button.textContent = t('copied')
  setTimeout(() => { button.textContent = t('copy') }, COPIED_MS)
}

// Gives a block of code its language and a button.
function frame(pre) {
  const button = element('button', { type: 'button', className: 'b-copy', textContent: t('copy') })
  button.addEventListener('click', () => { copy(button, pre); button.blur() })
  const head = element('div', { className: 'b-code-head' })
  head.append(element('span', { textContent: pre.dataset.language || t('code') }), button)
  const box = element('div', { className: 'b-code' })
  pre.replaceWith(box)
  pre.tabIndex = 0
  box.append(head, pre)
}

// Makes room for long numbers, which would cover what comes before them.
function widen(list) {
  const numbers = [...list.children].map((li, i) => li.value || list.start + i)
  const digits = Math.max(...numbers.map((n) => String(n).length))
  if (digits > ROOM_DIGITS) list.style.paddingInlineStart = `${digits + 1.5}ch`
}

// Adds to safe HTML what HTML alone cannot do.
export function dress(root) {
  for (const e of root.querySelectorAll(PARAGRAPHS)) e.dir = 'auto'
  // `auto` overlooks text in elements that have a direction, so it says nothing of what holds them
  for (const e of root.querySelectorAll(CONTAINERS)) e.dir = STARTS_RIGHT_TO_LEFT.test(e.textContent) ? 'rtl' : 'ltr'
  for (const list of root.querySelectorAll('ol')) widen(list)
  for (const pre of root.querySelectorAll('pre')) frame(pre)
  for (const table of root.querySelectorAll('table')) {
    const box = element('div', { className: 'b-table', dir: table.dir, tabIndex: 0, role: 'group', ariaLabel: t('table') })
    table.replaceWith(box)
    box.append(table)
  }
  show(root)
  for (const turn of root.querySelectorAll('[data-role]')) {
    turn.prepend(element('p', { className: 'b-role', textContent: t(turn.dataset.role) }))
  }
  typeset(root)
}

export function fill(root, html) {
  root.innerHTML = html
  root.lang = '' // a project's texts may be in any language
  dress(root)
}

export const asWritten = (root, text) => root.replaceChildren(element('div', { className: 'b-written', dir: 'auto', textContent: text }))
