// The owner's page: jobs on HF Jobs. Each has its state, time and cost, and one has its curve and log.
import { $, button, call, copyable, el, onShow, time } from '/ballot/owner-call.js'

const POLL_MS = 3000
const STEP = /^\s*(?:training|step)\s+(\d+)\/(\d+)/
const LOSS = /\b(test )?loss (-?\d+(?:\.\d+)?)/
const WORD = { COMPLETED: 'done', ERROR: 'failed', CANCELED: 'cancelled', DELETED: 'deleted', SCHEDULING: 'waiting for a machine', RUNNING: 'running' }
const NAMES = { candidates: 'Write candidates', train: 'Train', completions: 'Answer the eval prompts' }
let turn = 0

const money = (dollars) => dollars === null ? 'cost unknown' : dollars && dollars < 0.01 ? 'under $0.01' : `$${dollars.toFixed(2)}`
const minutes = (seconds) => seconds < 90 ? `${Math.round(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`
const line = (job) => [WORD[job.stage] || job.stage, job.machine, minutes(job.seconds), money(job.dollars), time(job.created)].join(' · ')

// Draws what the log says of the loss: a line for training, a line for the test split.
export function curve(log) {
  const lines = { train: [], test: [] }
  for (const text of log) {
    const step = STEP.exec(text)
    const loss = LOSS.exec(text)
    if (step && loss) lines[loss[1] ? 'test' : 'train'].push([Number(step[1]), Number(loss[2])])
  }
  const points = [...lines.train, ...lines.test]
  if (points.length < 2) return null
  const xs = points.map(([x]) => x), ys = points.map(([, y]) => y)
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)]
  const width = 336 // of a phone: a larger screen shows it larger
  const at = ([x, y]) => `${(44 + (width - 64) * (x - x0) / (x1 - x0 || 1)).toFixed(1)},${(150 - 130 * (y - y0) / (y1 - y0 || 1)).toFixed(1)}`
  const NS = 'http://www.w3.org/2000/svg'
  const make = (tag, attributes, text = '') => {
    const element = document.createElementNS(NS, tag)
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
    element.textContent = text
    return element
  }
  const last = (name) => lines[name].length ? `${name} loss ${lines[name].at(-1)[1]}` : ''
  const svg = make('svg', { viewBox: `0 0 ${width} 180`, role: 'img', 'aria-label': `Loss by step: ${[last('train'), last('test')].filter(Boolean).join(', ')} at step ${x1}` })
  for (const y of [y0, y1]) svg.append(make('text', { x: 38, y: y === y0 ? 154 : 24, 'text-anchor': 'end', class: 'axis' }, y.toFixed(3)))
  svg.append(make('text', { x: 44, y: 172, class: 'axis' }, `step ${x0}`), make('text', { x: width - 20, y: 172, 'text-anchor': 'end', class: 'axis' }, `step ${x1}`))
  for (const name of ['train', 'test']) svg.append(make('polyline', { points: lines[name].map(at).join(' '), class: name }))
  return el('figure', {}, svg, el('figcaption', { className: 'soft', textContent: last('train') && last('test') ? 'Loss: training as a thin line, test split as a thick line' : last('test') ? 'Loss on the test split' : 'Training loss' }))
}

async function list() {
  const { rows, starts } = await call('jobs')
  offer(starts)
  $('#jobs-list').replaceChildren(...rows.map((job) => el('li', { className: job.stage === 'ERROR' ? 'failed' : '' },
    el('a', { href: `#jobs/${encodeURIComponent(job.id)}`, textContent: NAMES[job.job] || job.job }), el('span', { className: 'soft', textContent: ` ${line(job)}` }))))
  if (!rows.length) $('#jobs-list').replaceChildren(el('li', { className: 'soft', textContent: 'Nothing ran on HF Jobs yet.' }))
  return rows
}

async function one(id, mine) {
  const job = await call('job', { id })
  if (mine !== turn) return true
  const old = $('#log'), top = old?.scrollTop ?? 0
  const follow = old ? old.scrollHeight - top - old.clientHeight < 40 : true
  const focused = $('#job').contains(document.activeElement) ? document.activeElement.tagName : ''
  const box = [el('h3', { textContent: NAMES[job.job] || job.job }), el('p', { className: 'soft', textContent: line(job) })]
  if (job.stage === 'ERROR') box.push(el('p', { className: 'bad', role: 'alert', textContent: `This job failed${job.message ? `: ${job.message.replace(/^Job failed with /, '')}` : ''}. The end of its log says why. Started again, it continues from what it saved.` }))
  if (!job.ended) box.push(button('Cancel', async () => { await call('cancel', { id }); await one(id, mine) }))
  const drawn = curve(job.log)
  if (drawn) box.push(drawn)
  const log = el('pre', { id: 'log', tabIndex: 0, ariaLabel: 'Log', textContent: job.log.join('\n') || 'No line yet.' })
  $('#job').replaceChildren(...box, log)
  log.scrollTop = follow ? log.scrollHeight : top
  if (focused) $(`#job ${focused}`)?.focus({ preventScroll: true })
  return job.ended
}

async function open(id) {
  const mine = ++turn
  const failed = (error) => $('#job').replaceChildren(el('p', { className: 'bad', role: 'alert', textContent: error.message }))
  const rows = await list().catch((error) => { failed(error); return [] })
  if (!id) { $('#job').replaceChildren(); return }
  const known = rows.find((row) => row.id.startsWith(id))
  if (known) $('#job').replaceChildren(el('h3', { textContent: NAMES[known.job] || known.job }), el('p', { className: 'soft', textContent: line(known) }), el('p', { textContent: 'Reading the log …' }))
  while (mine === turn && location.hash.startsWith('#jobs')) {
    const ended = await one(known ? known.id : id, mine).catch((error) => { failed(error); return error.status === 404 })
    if (ended) { list().catch(() => {}); return }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

// Shows what a job would cost, and starts it after one confirmation.
export async function openPlan(job) {
  const { text } = await call('plan', { job })
  const dialog = $('#plan')
  const rate = el('input', { inputMode: 'decimal', autocomplete: 'off', placeholder: 'chosen by palate', maxLength: 20 })
  const flags = () => job === 'train' && rate.value.trim() ? ` --learning-rate ${rate.value.trim()}` : ''
  const command = () => `palate ${job} ${document.body.dataset.project}${flags()} --on hf`
  const shown = el('p', { className: 'soft' })
  const show = () => shown.replaceChildren('The same in a terminal: ', copyable(command()))
  rate.addEventListener('input', show)
  show()
  const start = button('Start it', async () => {
    const { text: said } = await call('start', { job, rate: rate.value.trim() })
    dialog.addEventListener('close', () => $('.tabs a[href="#jobs"]').focus(), { once: true })
    dialog.close()
    const id = /\/jobs\/[^/\s]+\/(\w+)/.exec(said)?.[1] || ''
    if (location.hash === `#jobs/${id}`) open(id); else location.hash = `#jobs/${id}`
  }, { className: 'go' })
  $('#plan .content').replaceChildren(el('h2', { textContent: `${NAMES[job]}?` }), el('pre', { textContent: text, tabIndex: 0 }),
    job === 'train' ? el('label', { className: 'rate' }, 'Learning rate ', rate, el('small', { className: 'soft', textContent: 'Higher if a training changed nothing, lower if it made answers worse.' })) : '',
    shown,
    el('div', { className: 'acts' }, start, button('Cancel', () => dialog.close())))
  dialog.showModal()
}

function offer(starts) {
  if ($('#start').children.length) return // a plan may be on its way
  $('#start').replaceChildren(...starts.map((job) => button(`${NAMES[job]} …`, () => openPlan(job))))
  if (!starts.length) $('#start').replaceChildren(el('p', { className: 'soft' }, `This Space has no room for all of palate. Start a job where palate is installed, such as: `, copyable(`palate train ${document.body.dataset.project} --on hf`)))
}

onShow('jobs', open)
