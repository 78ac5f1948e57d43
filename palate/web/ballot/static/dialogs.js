// What opens over the page: each returns HTML without anybody's text in it; that is filled in as
// text by the caller.
const KEYS = [
  [['←', '→'], 'A or B is better'],
  [['1', '2', '3', '4'], 'A is much better … barely better'],
  [['7', '8', '9', '0'], 'B is barely better … much better'],
  [['↓'], 'a tie: both are as good'], [['B'], 'both are bad'], [['X'], 'skip: you cannot or would rather not say'],
  [['U'], 'take the last one back, as often as you like'],
  [['D'], 'show in which words they differ'], [['C'], 'a note on this pair'],
  [['F'], 'flag: something is wrong with this pair'], [['W'], 'write a better answer yourself'],
]
const close = '<button class="b-main" data-act="close">Close</button>'

export const keys = () => `<details class="b-keys" ${matchMedia('(hover:hover)').matches ? 'open' : ''}><summary>Keys</summary><dl>${KEYS.map(([keys, what]) =>
  `<dt>${keys.map((k) => `<kbd>${k}</kbd>`).join(' ')}</dt><dd>${what}</dd>`).join('')}</dl></details>`

export const help = (guidelines, first) => `${guidelines ? `<h2>${first ? 'Before you start' : 'Instructions'}</h2><div class="b-md">${guidelines}</div>` : first ? '' : '<h2>How it works</h2>'}
  ${first ? '' : '<p>Read both answers and say which one you prefer, and by how much. What you say is kept on this device until it is on the Hub.</p>'}
  ${keys()}<button class="b-main" data-act="close">${first ? 'Start' : 'Close'}</button>`

export const field = (title, hint, action, long) => `<form class="b-form" method="dialog"><label for="b-field"><h2>${title}</h2></label><p>${hint}</p>
  <textarea id="b-field" rows="${long ? 8 : 3}" maxlength="${long ? 20000 : 2000}" ${long ? 'required' : ''}></textarea>
  <div class="b-row"><button type="button" data-act="close">Cancel</button><button class="b-main">${action}</button></div></form>`

export const name = () => `<form class="b-form" method="dialog"><label for="b-field"><h2>Your name</h2></label>
  <p>It stays with the owner; what is published carries a pseudonym.</p>
  <input id="b-field" maxlength="80" autocomplete="nickname" required><button class="b-main">Start</button></form>`

export const signIn = () => `<h2>Sign in to go on</h2><p>What you said so far is kept on this device and sent as soon as you are back.</p>
  <a class="b-main" href="/login/huggingface?_target_url=/" target="_self">Sign in with Hugging Face</a>`

export const refused = () => `<h2>By invitation</h2><p>Only people whom the owner of this project has named take part. Ask them to add you to <code>annotators</code>.</p>
  <a class="b-main" href="/logout?_target_url=/" target="_self">Sign out</a>`

export const elsewhere = () => '<h2>Open in another tab</h2><p>It goes on here when you close that one.</p>'

export const menu = () => `<div class="b-list">
  <button data-act="diff">Show differences</button><button data-act="note">Add a note</button>
  <button data-act="flag">Flag this pair</button><button data-act="rewrite">Write a better one</button>
  <button data-act="help">Instructions</button><button data-act="session">Your session</button></div>${close}`

export const gold = (right, answer) => `<h2>${right ? 'Just so' : `The owner prefers ${answer}`}</h2>
  <div class="b-md" data-f="why"></div><p>This was a warm-up; it is not counted.</p><button class="b-main" data-act="close" autofocus>Go on</button>`

const number = (n) => Number(n).toLocaleString()

export const figures = (f) => {
  const lines = [[number(f.judged), f.judged === 1 ? 'pair judged' : 'pairs judged'], [number(f.prompts), f.prompts === 1 ? 'prompt' : 'prompts']]
  if (f.seconds !== null) lines.push([`${f.seconds} s`, 'for a pair, typically'])
  if (f.implied) lines.push([`+${number(f.implied)}`, 'more follow from them, unasked'])
  if (f.repeats) lines.push([`${f.same} of ${f.repeats}`, 'said the same when asked again'])
  return `<dl class="b-figures">${lines.map(([n, what]) => `<div><dt>${n}</dt><dd>${what}</dd></div>`).join('')}</dl>`
}

export const stop = () => `<h2>Stop voting?</h2><p>The result shows which model wrote what, so your voting ends here. What you said so far counts.</p>
  <div class="b-row"><button data-act="close">Go on voting</button><button class="b-main" data-act="stop">See the result</button></div>`

export const result = '<div class="b-row b-result"><button data-act="result">Stop voting and see the result</button></div>'

export const session = (f, state, refusals, owner, leave, blind) => `<h2>Your session</h2>${f ? figures(f) : ''}<p class="b-state">${state}</p>
  ${refusals ? '<h3>Not accepted, and kept on this device</h3><ul class="b-refused"></ul>' : ''}
  ${blind && f?.judged ? result : ''}
  ${owner ? '<p><a href="/owner" target="_blank">The owner’s page</a></p>' : ''}${leave ? '<p><a href="/logout?_target_url=/" target="_self">Sign out</a></p>' : ''}${close}`
