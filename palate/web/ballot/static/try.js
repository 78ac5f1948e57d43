// The try page: both models' answers as they come, and which one is better.
import { fill } from '/ballot/content.js'

const $ = (selector) => document.querySelector(selector)
const sections = [...document.querySelectorAll('#answers section')]
const answerOf = (section) => section.querySelector('.answer')
const chooser = (section) => section.querySelector(':scope > button')
const LOST = 'The server does not respond. Try again in a moment.'
let writing = null // what stops the answers that are coming
let tried = null // the last whole try: prompt, names, ticket

const say = (text, bad = false) => { $('#state').textContent = text; $('#state').className = bad ? 'bad' : 'soft' }

const post = (name, body, signal) => fetch(`/try/${name}${location.search}`, {
  method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body), signal,
})

async function reason(answer) {
  const content = await answer.json().catch(() => ({}))
  return content.error || LOST
}

// Yields the lines of a response as they come.
async function* linesOf(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    const lines = (rest + value).split('\n')
    rest = lines.pop()
    for (const line of lines) yield JSON.parse(line)
  }
}

function begin() {
  tried = null
  $('#answers').hidden = false
  $('.keep').hidden = true
  sections.forEach((section, i) => {
    section.classList.remove('better')
    section.querySelector('h2').textContent = `Answer ${'AB'[i]}`
    answerOf(section).replaceChildren()
    answerOf(section).classList.add('coming')
    chooser(section).hidden = true
    chooser(section).disabled = false
  })
}

const name = () => sections.forEach((section, i) => { section.querySelector('h2').textContent = `Answer ${'AB'[i]}: ${tried.names[i]}` })

function whole({ names, html, ticket }, prompt, blind) {
  tried = { prompt, names, ticket }
  const alike = html[0] === html[1]
  sections.forEach((section, i) => {
    answerOf(section).classList.remove('coming')
    if (html[i]) fill(answerOf(section), html[i])
    else answerOf(section).textContent = 'It wrote nothing.'
    chooser(section).hidden = alike
  })
  $('.keep').hidden = alike
  if (!blind || alike) name()
  if (alike) return say('Both models wrote the same.')
  say(blind ? 'Which one is better? Then the page says which is which.' : 'Which one is better?')
}

async function answers(prompt, blind, signal) {
  const answer = await post('answer', { prompt, blind }, signal)
  if (!answer.ok) throw new Error(await reason(answer))
  for await (const line of linesOf(answer)) {
    if (line.error) throw new Error(line.error)
    if (line.state) say('Loading both models …')
    else if (line.ticket) return whole(line, prompt, blind)
    else {
      say('Both models are writing …')
      answerOf(sections[line.side]).append(line.text) // text, whatever it is
    }
  }
  throw new Error(LOST)
}

$('form').addEventListener('submit', async (e) => {
  e.preventDefault()
  const go = $('form .go')
  writing = new AbortController()
  go.disabled = true
  $('#stop').hidden = false
  begin()
  say('Asking both models …')
  try { await answers($('#prompt').value, $('#blind').checked, writing.signal) } catch (error) {
    if (error.name === 'AbortError') say('Stopped.')
    else say(error instanceof TypeError ? LOST : error.message, true)
  }
  go.disabled = false
  $('#stop').hidden = true
})

$('#stop').addEventListener('click', () => { writing.abort(); $('form .go').focus() })

sections.forEach((section, better) => chooser(section).addEventListener('click', async () => {
  for (const each of sections) chooser(each).disabled = true
  const { prompt, ticket } = tried
  const keep = $('#keep').checked
  try {
    const answer = await post('choose', { prompt, ticket, better, keep })
    if (!answer.ok) throw new Error(await reason(answer))
  } catch (error) {
    for (const each of sections) chooser(each).disabled = false
    say(error instanceof TypeError ? LOST : error.message, true)
    return
  }
  section.classList.add('better')
  $('.keep').hidden = true
  for (const each of sections) chooser(each).hidden = true
  name()
  say(`Kept: ${tried.names[better]} was better.${keep ? ' So is your prompt.' : ''}`)
}))
