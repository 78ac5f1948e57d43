// The owner's page. Here: a person is excluded, or counts again, once the owner has confirmed it.
import '/ballot/labels.js'
import '/ballot/home.js'

const dialog = document.querySelector('#who')
const $ = (selector) => dialog.querySelector(selector)
const POLL_MS = 1000
const NAMES_POLLS = 20
let decision = null

for (const button of document.querySelectorAll('[data-who]')) {
  button.addEventListener('click', () => {
    const { who, name, counts } = button.dataset
    decision = { annotator: who, counts: counts !== undefined }
    $('h2').textContent = decision.counts ? `Count the answers of ${name} again?` : `Exclude ${name}?`
    $('.go').textContent = decision.counts ? 'Count again' : 'Exclude'
    $('code').textContent = `palate exclude ${$('code').dataset.project} ${who}${decision.counts ? ' --undo' : ''}`
    $('.out').hidden = decision.counts
    $('.in').hidden = !decision.counts
    $('.bad').hidden = true
    dialog.showModal()
    $('.no').focus()
  })
}

$('.no').addEventListener('click', () => dialog.close())
$('.go').addEventListener('click', async () => {
  $('.go').disabled = true
  $('.bad').hidden = true
  const problem = await save()
  if (!problem) {
    $('.wait').hidden = false
    $('.no').textContent = 'Close'
    await takenOver()
    location.reload()
    return
  }
  $('.bad').textContent = problem
  $('.bad').hidden = false
  $('.go').disabled = false
  $('.go').focus()
})

// Returns what went wrong, or nothing.
async function save() {
  try {
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(`/owner/people${location.search}`, { method: 'POST', headers, body: JSON.stringify(decision) })
    if (answer.ok) return ''
    return (await answer.json()).error
  } catch { return 'The server does not respond. Try again in a moment.' }
}

async function takenOver() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    try {
      const answer = await fetch(`/owner.json${location.search}`)
      if (answer.status === 403) return // the reload offers to sign in again
      const { excluded } = await answer.json()
      if (excluded.includes(decision.annotator) !== decision.counts) break
    } catch { /* the Space is starting again */ }
  }
  for (let i = 0; i < NAMES_POLLS; i++) { // Argilla has the names, and starts later
    if ((await fetch('/healthz').catch(() => null))?.ok) return
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}
