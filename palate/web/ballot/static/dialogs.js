// The HTML of what opens over the page. It contains no text by anybody: the caller fills that in as
// text, or as HTML that the server made safe.
const KEYS = [
  [['←', '→'], 'A or B is better'],
  [['1', '2', '3', '4'], 'A is much better … barely better'],
  [['7', '8', '9', '0'], 'B is barely better … much better'],
  [['↓', 'T'], 'tie: equally good'], [['B'], 'both are bad'], [['X'], 'skip: you cannot tell, or prefer not to'],
  [['U'], 'undo the last answer, as often as you like'],
  [['D'], 'show which words differ'], [['R'], 'show the texts as they are written'], [['C'], 'add a note on this pair'],
  [['F'], 'flag: something is wrong with this pair'], [['W'], 'write a better answer yourself'],
]
const close = '<button class="b-main" data-act="close">Close</button>'

export const keys = () => `<details class="b-keys" ${matchMedia('(hover:hover)').matches ? 'open' : ''}><summary>Keys</summary><dl>${KEYS.map(([keys, what]) =>
  `<dt>${keys.map((k) => `<kbd>${k}</kbd>`).join(' ')}</dt><dd>${what}</dd>`).join('')}</dl></details>`

export const help = (guidelines, first) => `${guidelines ? `<h2>${first ? 'Before you start' : 'Instructions'}</h2><div class="b-md">${guidelines}</div>` : first ? '' : '<h2>How it works</h2>'}
  ${first ? '' : '<p>Read both answers, then say which one you prefer and by how much. Your answers stay on this device until the Hub has them.</p>'}
  ${keys()}<button class="b-main" data-act="close">${first ? 'Start' : 'Close'}</button>`

export const field = (title, hint, action, long) => `<form class="b-form" method="dialog"><label for="b-field"><h2>${title}</h2></label><p>${hint}</p>
  <textarea id="b-field" rows="${long ? 8 : 3}" maxlength="${long ? 20000 : 2000}" ${long ? 'required' : ''}></textarea>
  <div class="b-row"><button type="button" data-act="close">Cancel</button><button class="b-main">${action}</button></div></form>`

export const name = () => `<form class="b-form" method="dialog"><label for="b-field"><h2>Your name</h2></label>
  <p>Only the project owner sees your name. Published data uses a pseudonym.</p>
  <input id="b-field" maxlength="80" autocomplete="nickname" required><button class="b-main">Start</button></form>`

export const signIn = (failed) => `<h2>Sign in to continue</h2>${failed ? '<p>Signing in did not work. If your browser blocks cookies here, open this page in a tab.</p>' : ''}<p>Your answers so far are kept on this device and sent once you are signed in.</p>
  <a class="b-main" href="/login/huggingface?_target_url=/" target="_self">Sign in with Hugging Face</a>`

export const refused = (signedIn) => `<h2>Invitation only</h2><p>The project’s owner decides who may answer here. Ask them.</p>
  ${signedIn ? '<a class="b-main" href="/logout?_target_url=/" target="_self">Sign out</a>' : ''}`

export const elsewhere = () => '<h2>Open in another tab</h2><p>Close the other tab to continue here.</p>'

export const menu = () => `<div class="b-list">
  <button data-act="diff">Show differences</button><button data-act="written">Show as written</button><button data-act="note">Add a note</button>
  <button data-act="flag">Flag this pair</button><button data-act="rewrite">Write a better answer</button>
  <button data-act="help">Instructions</button><button data-act="session">Your session</button></div>${close}`

export const warmUp = (right, answer) => `<h2>${right ? 'Warm-up: correct' : `Warm-up: the owner prefers ${answer}`}</h2>
  <p class="b-asked" dir="auto"></p><div class="b-md" data-f="why"></div><p>The pair that you answered was a warm-up. It is not counted.</p><button class="b-main" data-act="close" autofocus>Continue</button>`

const number = (n) => Number(n).toLocaleString('en')

export const figures = (f) => {
  const tiles = [[number(f.judged), f.judged === 1 ? 'pair judged' : 'pairs judged'], [number(f.prompts), f.prompts === 1 ? 'prompt' : 'prompts']]
  if (f.seconds !== null) tiles.push([`${f.seconds} s`, 'per pair (median)'])
  if (f.implied) tiles.push([`+${number(f.implied)}`, f.implied === 1 ? 'pair inferred from your answers' : 'pairs inferred from your answers'])
  if (f.repeats) tiles.push([`${f.same} of ${f.repeats}`, 'repeated pairs answered the same way'])
  return `<dl class="b-figures">${tiles.map(([n, what]) => `<div><dt>${n}</dt><dd>${what}</dd></div>`).join('')}</dl>`
}

export const stop = () => `<h2>Stop voting?</h2><p>You will see which model wrote what, so you cannot vote again. Your votes so far count.</p>
  <div class="b-row"><button data-act="close">Keep voting</button><button class="b-main" data-act="stop">See the result</button></div>`

export const result = '<div class="b-row b-result"><button data-act="result">Stop voting and see the result</button></div>'
export const resultAtEnd = '<div class="b-row b-result"><button data-act="result">See the result</button></div>'

const session = (f, state, refusals, me) => `<h2>Your session</h2><p>You are <b class="b-name"></b>.${me.sign_in ? '' : ' <button class="b-inline" data-act="leave">Not you?</button>'}</p>${f ? figures(f) : ''}<p class="b-state">${state}</p>
  ${refusals ? '<h3>Not accepted; kept on this device</h3><ul class="b-refused"></ul>' : ''}
  ${me.kind === 'evaluate' && f?.judged ? result : ''}
  ${me.owner ? '<p><a href="/owner" target="_blank">Owner’s page</a></p>' : ''}${me.sign_in ? '<p><a href="/logout?_target_url=/" target="_self">Sign out</a></p>' : ''}${close}`

// Opens what a person has done, and where it is; `kept` tells whether this browser keeps it.
export function openSession(modal, figures, outbox, me, kept) {
  const waiting = outbox.read().length, unsent = outbox.unsent().length
  const state = unsent ? `${unsent} ${unsent === 1 ? 'answer is' : 'answers are'} ${kept ? 'on this device' : 'in this open page'} only, and will be sent when the server responds.`
    : waiting ? `All answers are saved; ${waiting} ${waiting === 1 ? 'is' : 'are'} on the way to the Hub. You can close this page.` : 'All answers are on the Hub. You can close this page.'
  const refusals = outbox.read('refused')
  modal.open(session(figures, state, refusals.length, me), {
    fill: (d) => {
      d.querySelector('.b-name').textContent = me.name
      refusals.forEach((r) => {
        const li = document.createElement('li')
        li.textContent = `${r.kind}${r.choice ? ` ${r.choice}` : ''}: ${r.reason}`
        d.querySelector('.b-refused').append(li)
      })
    },
  })
}
