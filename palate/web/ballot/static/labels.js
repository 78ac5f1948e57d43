// The owner's page: every label, found by filter, shown as the person saw it, and corrected.
// Texts by models and people are shown as text, or as HTML that the server made safe.
import { fill } from '/ballot/content.js'
import { $, busy, button, by, call, count, el, nameOf, onShow, time, words } from '/ballot/owner-call.js'

const TYPING_MS = 200
const form = $('#labels form')
const dialog = $('#pair')
let page = 0
let turn = 0

const query = () => ({
  who: form.who.value, kind: form.kind.value, prompt: form.prompt.value,
  differs: form.differs.checked, fast: form.fast.checked, flagged: form.flagged.checked, page,
})

const MARKS = [['fast', 'too fast to read'], ['differs', 'others disagree'], ['flagged', 'flagged']]
const marks = (row) => MARKS.filter(([name]) => row[name]).map(([, text]) => el('span', { className: 'mark', textContent: text }))

async function find() {
  const mine = ++turn
  const found = await call('find', query())
  if (mine !== turn) return
  const known = [...form.who.options].map((option) => option.value)
  for (const who of found.people.filter((who) => !known.includes(who))) form.who.append(el('option', { value: who, textContent: nameOf(who), data: { nameOf: who } }))
  const pages = Math.ceil(found.total / found.per_page)
  $('#found').textContent = found.total === found.all ? count(found.total, 'label') : `${found.total.toLocaleString('en')} of ${count(found.all, 'label')}`
  $('#list').replaceChildren(...found.rows.map((row) => {
    const open = el('button', { className: 'row', type: 'button' },
      el('span', { className: 'prompt', dir: 'auto', textContent: row.prompt }),
      el('span', { className: 'soft', textContent: [nameOf(row.who), words(row), row.seconds === null ? '' : `${row.seconds} s`, time(row.time), by(row), row.purpose === 'repeat' ? 'asked again' : row.purpose === 'gold' ? 'warm-up' : ''].filter(Boolean).join(' · ') }),
      el('span', { className: 'marks' }, ...marks(row)))
    open.addEventListener('click', () => busy(open, () => show(row.id)))
    return el('li', {}, open)
  }))
  const move = (text, to, there) => button(text, async () => { page = to; await find(); $('#found').scrollIntoView() }, { disabled: !there })
  $('#pages').replaceChildren(...(pages > 1 ? [move('Newer', page - 1, page > 0), el('span', { textContent: `Page ${page + 1} of ${pages.toLocaleString('en')}` }), move('Older', page + 1, page + 1 < pages)] : []))
  for (const b of $('#pages').querySelectorAll('button')) b.disabled = b.textContent === 'Newer' ? page === 0 : page + 1 >= pages
}

export async function show(id) {
  const pair = await call('show', { id })
  const text = (html, title, chosen) => {
    const body = el('div', { className: 'b-md' })
    fill(body, html)
    return el('article', { className: chosen ? 'chosen' : '' }, el('h3', { textContent: title }), body)
  }
  const stands = pair.events.find((e) => e.id === id)?.stands
  const events = pair.events.map((e) => el('li', { className: e.stands ? '' : 'gone' },
    el('b', { textContent: nameOf(e.who) }), ` ${words(e)} `,
    el('span', { className: 'soft', textContent: [time(e.time), by(e), e.stands || ['flag', 'undo'].includes(e.kind) ? '' : 'replaced or taken back'].filter(Boolean).join(' · ') }),
    e.comment ? el('p', { dir: 'auto', textContent: e.comment }) : null,
    e.text ? el('p', { dir: 'auto', textContent: e.text }) : null))
  $('#pair .content').replaceChildren(
    el('p', { className: 'soft', textContent: `As ${nameOf(pair.who)} saw it: ${words(pair)}` }),
    text(pair.prompt, 'Prompt'),
    el('div', { className: 'two' }, text(pair.left, 'Left', pair.side === 'left'), text(pair.right, 'Right', pair.side === 'right')),
    el('h3', { textContent: 'All answers on this pair' }), el('ul', { className: 'said' }, ...events),
    ...(stands ? [corrections(pair)] : []))
  if (!dialog.open) dialog.showModal()
  dialog.scrollTop = 0
}

function corrections(pair) {
  const fix = (text, change) => button(text, async () => {
    const { id } = await call('correct', { id: pair.id, ...change })
    await find()
    await show(id)
  })
  return el('div', { className: 'fix' }, el('h3', { textContent: 'Correct this answer' }),
    el('p', { className: 'soft', textContent: 'The correction replaces the answer in the preferences. The answer stays in the ledger.' }),
    el('div', { className: 'acts start' },
      fix('Left is better', { kind: 'label', side: 'left' }), fix('Right is better', { kind: 'label', side: 'right' }),
      fix('Tie', { kind: 'tie' }), fix('Both bad', { kind: 'both_bad' }), fix('Leave it out', { kind: 'skip' })))
}

async function remarks() {
  const { rows, open } = await call('remarks')
  $('#waiting').textContent = open ? `${count(open, 'flag or note', 'flags and notes')} to look at.` : rows.length ? 'All flags and notes are dealt with.' : 'No flags or notes yet.'
  $('#remarks').replaceChildren(...rows.map((row) => {
    const set = button(row.done ? 'Not done' : 'Done', async () => { await call('review', { id: row.id, done: !row.done }); await remarks() })
    return el('li', { className: row.done ? 'gone' : '' },
      el('p', { className: 'soft', textContent: `${row.kind === 'flag' ? 'Flag' : 'Note'} by ${nameOf(row.who)} · ${time(row.time)}` }),
      el('p', { dir: 'auto', textContent: row.comment || '(no words)' }),
      el('p', { className: 'soft', dir: 'auto', textContent: row.prompt }),
      el('div', { className: 'acts start' }, button('See the pair', () => show(row.id)), set))
  }))
}

let typing = 0
const changed = () => { page = 0; find().catch((error) => { $('#found').textContent = error.message }) }
form.addEventListener('submit', (e) => e.preventDefault())
form.addEventListener('change', changed)
form.prompt.addEventListener('input', () => { clearTimeout(typing); typing = setTimeout(changed, TYPING_MS) })
$('#pair .no').addEventListener('click', () => dialog.close())
onShow('labels', changed)
onShow('flags', () => remarks().catch((error) => { $('#waiting').textContent = error.message }))
call('find', query()).catch(() => {}) // the server reads all labels once, before somebody asks
