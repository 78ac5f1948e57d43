// The owner's page, first part: where the loop is and what comes next; instructions and settings.
import { fill } from '/ballot/content.js'
import { $, busy, button, call, copyable, count, el, names, onShow, route } from '/ballot/owner-call.js'
import { openPlan } from '/ballot/jobs.js'

const PREVIEW_MS = 400
const TAKEN_OVER_MS = 1000
const NEXT = {
  prompts: 'Bring prompts', candidates: 'Let the model write candidates', labels: 'Label pairs', preferences: 'Rebuild the preferences from the labels',
  model: 'Train the model', completions: 'Let base and tuned model answer the eval prompts', votes: 'Vote blind', verdict: 'Count the votes', round: 'Begin the next round',
}
const RUN = { export: 'Rebuild the preferences', verdict: 'Count the votes', round: 'Begin the next round' }
const PEOPLE = (who) => who === 'anyone' ? 'Anyone who can open the page may label.' : Array.isArray(who) ? `Only ${who.join(', ')} may label.` : `Members of ${who} may label.`
let state = null
let base = '' // what the instructions were when this page read them
let saved = ''

export async function load() {
  state = await call('state')
  Object.assign(names, state.names)
  $('#loop').replaceChildren(...state.steps.map((step) => {
    const is = step.done ? 'done' : step.name === state.next ? 'next' : 'later'
    return el('li', { className: is }, el('b', { textContent: step.name }), el('span', { className: 'sr', textContent: ` (${is === 'next' ? 'comes next' : is}) ` }), el('span', { textContent: step.facts }))
  }))
  const next = [el('h2', { textContent: `Next: ${NEXT[state.next] || state.next}` })]
  const { does, what } = state.button
  if (does === 'open') next.push(el('a', { className: 'go', href: what, target: '_blank', textContent: 'Open the labelling page' }))
  if (does === 'plan') next.push(button('Show price and time', () => openPlan(what), { className: 'go' }))
  if (does === 'run') next.push(button(RUN[what], async () => { await call('run', { command: what }); await load() }, { className: 'go' }))
  if (does === 'vote') next.push(voting('go'))
  next.push(el('p', { className: 'soft' }, does ? 'Or in a terminal: ' : 'In a terminal: ', copyable(state.command)))
  if (state.offered) next.push(el('p', {}, `${count(state.offered, 'prompt')} from people who tried the models ${state.offered === 1 ? 'waits' : 'wait'} for your approval: `, copyable(`palate prompts ${document.body.dataset.project} --offered`)))
  if (['verdict', 'round'].includes(state.next)) next.push(voting(''))
  $('#next').replaceChildren(...next)
  showPause()
  $('#who-may').textContent = PEOPLE(state.settings.annotators)
  $('#round').textContent = state.round > 1 ? `Round ${state.round}. ` : ''
  for (const option of document.querySelectorAll('[data-name-of]')) option.textContent = names[option.dataset.nameOf] || option.dataset.nameOf
}

// Starts what serves the votes, where it does not run, and links to it.
function voting(className) {
  const box = el('div', { className: 'acts start' })
  box.append(button('Prepare the voting page', async () => {
    const { url, verdict } = await call('vote')
    const links = [el('a', { className: 'go', href: url, target: '_blank', textContent: 'Open the voting page' })]
    if (verdict) links.push(el('a', { href: verdict, target: '_blank', textContent: 'See the verdict (this browser then votes no more)' }))
    box.replaceChildren(...links)
  }, { className }))
  return box
}

function showPause() {
  const { paused } = state.settings
  const change = button(paused ? 'Resume labelling' : 'Pause labelling', async () => {
    await write({ paused: !paused })
    await load()
  })
  $('#pause').replaceChildren(el('p', { textContent: paused ? 'Labelling is paused: nobody gets new pairs. Answers that are on the way still count.' : 'People get pairs as soon as they open the page.' }), change)
}

// Commits settings, and waits until the Space asks by them.
async function write(after) {
  const before = Object.fromEntries(Object.keys(after).map((name) => [name, state.settings[name]]))
  try { await call('write-settings', { before, after }) } catch (error) {
    if (error.status === 409) { await load(); showSettings(); throw new Error(`${error.message} It is ${error.now} now. Look at it, then save again.`) }
    throw error
  }
  await takenOver()
}

async function takenOver() {
  for (let n = 0; n < 60; n++) {
    await new Promise((resolve) => setTimeout(resolve, TAKEN_OVER_MS))
    const now = await call('taken-over').catch(() => null)
    if (now?.done) return
  }
}

function showSettings() {
  const { annotators, annotators_per_pair: people, repeats } = state.settings
  const form = $('#settings form')
  form.annotators.value = Array.isArray(annotators) ? annotators.join(', ') : annotators
  form.people.value = people
  form.repeats.value = Math.round(100 * repeats)
}

const form = $('#settings form')
form.addEventListener('submit', (e) => {
  e.preventDefault()
  busy(form.querySelector('button'), async () => {
    const who = form.annotators.value.split(',').map((name) => name.trim()).filter(Boolean)
    const one = !Array.isArray(state.settings.annotators) && who.length === 1
    const after = { annotators: one || who.join() === 'anyone' ? who[0] : who, annotators_per_pair: Number(form.people.value), repeats: Number(form.repeats.value) / 100 }
    $('#settings-state').textContent = 'Saving. The Space takes over what changed …'
    try { await write(after) } catch (error) { $('#settings-state').textContent = ''; throw error }
    await load()
    showSettings()
    $('#settings-state').textContent = 'Saved.'
  })
})

// ---- instructions
const text = $('#instructions textarea')
let turn = 0
text.addEventListener('input', () => {
  const mine = ++turn
  $('#instructions-state').textContent = text.value === saved ? '' : 'Not saved yet.'
  setTimeout(async () => {
    if (mine !== turn) return
    try { const { html } = await call('preview', { text: text.value }); if (mine === turn) fill($('#preview'), html) } catch { /* the next letter asks again */ }
  }, PREVIEW_MS)
})
window.addEventListener('beforeunload', (e) => { if (text.value !== saved) e.preventDefault() })

async function showGuidelines() {
  if (text.value !== saved) return // what is typed stays
  const now = await call('guidelines')
  base = now.base
  text.value = saved = now.text
  fill($('#preview'), now.html)
}

$('#save').addEventListener('click', () => busy($('#save'), async () => {
  const mine = text.value
  try {
    const now = await call('write-guidelines', { text: mine, base })
    base = now.base
    saved = mine
    $('#theirs').hidden = true
    $('#instructions-state').textContent = 'Saved. People see it when they open the page again.'
  } catch (error) {
    if (error.status !== 409) throw error
    $('#theirs').hidden = false
    $('#theirs pre').textContent = error.now || '(no instructions)'
    const now = await call('guidelines')
    base = now.base // what is shown now: saving again replaces it
    saved = now.text
    throw new Error(`${error.message} Theirs is below; yours is still in the field. Save again to replace theirs.`)
  }
}))

// ---- invitation
$('#invite input').value = `${location.origin}/`
$('#invite input').addEventListener('focus', (e) => e.target.select())
$('#invite button').addEventListener('click', async () => {
  const input = $('#invite input')
  input.select()
  try { await navigator.clipboard.writeText(input.value) } catch { document.execCommand('copy') }
  $('#invite button').textContent = 'Copied'
})

// What keeps labels from the Hub is shown until it is over.
async function watch() {
  for (let problem = $('#problem'); problem;) {
    await new Promise((resolve) => setTimeout(resolve, TAKEN_OVER_MS))
    const health = await fetch('/healthz').then((answer) => answer.json()).catch(() => null)
    if (health?.ready) { problem.remove(); problem = null } else if (health) problem.textContent = health.problem
  }
}
watch()

onShow('home', () => load().catch((error) => $('#next').replaceChildren(el('p', { className: 'bad', textContent: error.message }))))
onShow('instructions', () => busy($('#save'), showGuidelines))
onShow('settings', async () => {
  // what is typed before the settings are there would be overwritten
  const lock = (on) => { for (const field of form.elements) field.disabled = on }
  lock(true)
  $('#settings-state').textContent = ''
  try { await load(); showSettings(); lock(false) } catch (error) { $('#settings-state').textContent = error.message }
})
window.addEventListener('hashchange', route)
route()
if (!state) load().catch(() => {})
