// The try page: both models' answers as they come, and which one is better.
import { fill } from '/ballot/content.js'
import '/ballot/translate.js'
import { t } from '/ballot/words.js'

const $ = (selector) => document.querySelector(selector)
const sections = [...document.querySelectorAll('#answers section')]
const answerOf = (section) => section.querySelector('.answer')
const chooser = (section) => section.querySelector(':scope > button')
const BEST = 2 // among the contestants
let writing = null // what stops the answers that are coming
let tried = null // the last whole try: prompt, names, ticket

function say(text, bad = false, lang = null) {
  Object.assign($('#state'), { textContent: text, className: bad ? 'bad' : 'soft' })
  if (lang) $('#state').lang = lang
  else $('#state').removeAttribute('lang')
}

// Says why nothing comes: in the server's words, which are English, where it said any.
const fail = (error) => error.said ? say(error.message, true, 'en') : say(t('silent'), true)
const refusal = (message) => Object.assign(new Error(message), { said: Boolean(message) })

const post = (name, body, signal) => fetch(`/try/${name}${location.search}`, {
  method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body), signal,
})

async function reason(answer) {
  const content = await answer.json().catch(() => ({}))
  return refusal(content.error)
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
    section.querySelector('h2').textContent = t('answer', { side: 'AB'[i] })
    answerOf(section).replaceChildren()
    answerOf(section).lang = ''
    answerOf(section).classList.add('coming')
    chooser(section).hidden = true
    chooser(section).disabled = false
  })
}

const name = () => sections.forEach((section, i) => { section.querySelector('h2').textContent = `${t('answer', { side: 'AB'[i] })}: ${tried.names[i]}` })

function whole({ names, html, ticket }, prompt, blind) {
  tried = { prompt, names, ticket }
  const alike = html[0] === html[1]
  sections.forEach((section, i) => {
    answerOf(section).classList.remove('coming')
    if (html[i]) fill(answerOf(section), html[i])
    else Object.assign(answerOf(section), { textContent: t('try_nothing'), lang: document.documentElement.lang })
    chooser(section).hidden = alike
  })
  $('.keep').hidden = alike
  if (!blind || alike) name()
  if (alike) return say(t('try_same'))
  say(t(blind ? 'try_which_blind' : 'try_which'))
}

async function answers(prompt, blind, signal) {
  const pair = JSON.parse($('#pair')?.value ?? '[0,1]')
  const answer = await post('answer', { prompt, blind, pair }, signal)
  if (!answer.ok) throw await reason(answer)
  const isPlain = !pair.includes(BEST) // else the progress of its answers is shown
  for await (const line of linesOf(answer)) {
    if (line.error) throw refusal(line.error)
    if (line.state) say(t('try_loading'))
    else if (line.ticket) return whole(line, prompt, blind)
    else if (line.written) say(t('try_progress', { written: line.written, n: Number($('main').dataset.answers) }))
    else {
      if (isPlain) say(t('try_writing'))
      answerOf(sections[line.side]).append(line.text) // text, whatever it is
    }
  }
  throw refusal()
}

$('form').addEventListener('submit', async (e) => {
  e.preventDefault()
  const go = $('form .go')
  writing = new AbortController()
  const pressed = document.activeElement === go
  go.disabled = true
  $('#stop').hidden = false
  if (pressed) $('#stop').focus() // what is disabled cannot have the focus
  begin()
  say(t('try_asking'))
  try { await answers($('#prompt').value, $('#blind').checked, writing.signal) } catch (error) {
    if (error.name === 'AbortError') say(t('try_stopped'))
    else fail(error)
  }
  go.disabled = false
  if (document.activeElement === $('#stop')) go.focus()
  $('#stop').hidden = true
})

$('#stop').addEventListener('click', () => writing.abort())

sections.forEach((section, better) => chooser(section).addEventListener('click', async () => {
  for (const each of sections) chooser(each).disabled = true
  const { prompt, ticket } = tried
  const keep = $('#keep').checked
  try {
    const answer = await post('choose', { prompt, ticket, better, keep })
    if (!answer.ok) throw await reason(answer)
  } catch (error) {
    for (const each of sections) chooser(each).disabled = false
    chooser(section).focus()
    fail(error)
    return
  }
  $('#state').focus()
  section.classList.add('better')
  $('.keep').hidden = true
  for (const each of sections) chooser(each).hidden = true
  name()
  say(t(keep ? 'try_kept_prompt' : 'try_kept', { name: tried.names[better] }))
}))
