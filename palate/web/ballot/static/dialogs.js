// The HTML of what opens over the page. It contains no text by anybody: the caller fills that in as
// text, or as HTML that the server made safe.
import * as keys from '/ballot/keys.js'
import { number, t } from '/ballot/words.js'

const MENU = ['diff', 'written', 'note', 'flag', 'rewrite', 'help', 'settings', 'session']
const close = () => `<button class="b-main" data-act="close">${t('close')}</button>`

// `names` are the things that have a key here, `nameAct(name)` says what they do.
export const help = ({ guidelines, aspects }, first, names, nameAct) => `<h2>${first ? t('before') : guidelines ? t('instructions') : t('how')}</h2>${guidelines ? `<div class="b-md" lang="">${guidelines}</div>` : ''}
  ${first ? '' : `<p>${t('how_text')}</p>`}${aspects.length ? `<p>${t('how_aspects', { names: `<b>${aspects.join(', ')}</b>` })}</p>` : ''}
  <details class="b-keys" ${matchMedia('(hover:hover)').matches && keys.areOn() ? 'open' : ''}><summary>${t('keys')}</summary><dl>${names.filter((name) => keys.keysOf(name).length).map((name) =>
  `<dt>${keys.keysOf(name).map((key) => `<kbd>${keys.shown(key).replace('<', '&lt;')}</kbd>`).join(' ')}</dt><dd>${nameAct(name)}</dd>`).join('')}</dl></details>
  <div class="b-row"><button data-act="settings">${t('settings')}</button><button class="b-main" data-act="close">${t(first ? 'start' : 'close')}</button></div>`

export const field = (title, hint, action, long) => `<form class="b-form" method="dialog"><h2><label for="b-field">${title}</label></h2><p>${hint}</p>
  <textarea id="b-field" rows="${long ? 8 : 3}" maxlength="${long ? 20000 : 2000}" ${long ? 'required' : ''}></textarea>
  <div class="b-row"><button type="button" data-act="close">${t('cancel')}</button><button class="b-main">${action}</button></div></form>`

export const name = () => `<form class="b-form" method="dialog"><h2><label for="b-field">${t('name_title')}</label></h2>
  <p>${t('name_hint')}</p>
  <input id="b-field" maxlength="80" autocomplete="nickname" required><button class="b-main">${t('start')}</button></form>`

export const signIn = (failed) => `<h2>${t('sign_title')}</h2>${failed ? `<p>${t('sign_failed')}</p>` : ''}<p>${t('sign_hint')}</p>
  <a class="b-main" href="/login/huggingface?_target_url=/" target="_self">${t('sign_in')}</a>`

const signOut = (button) => `<a ${button ? 'class="b-main"' : ''} href="/logout?_target_url=/" target="_self">${t('sign_out')}</a>`

export const refused = (signedIn) => `<h2>${t('closed_title')}</h2><p>${t('closed_text')}</p>${signedIn ? signOut(true) : ''}`

export const elsewhere = () => `<h2>${t('tab_title')}</h2><p>${t('tab_text')}</p>`

// What is shown once the project has other aspects than the page has loaded.
export const changed = () => `<h2>${t('changed_title')}</h2><p>${t('changed_text')}</p><a class="b-main" href="" target="_self">${t('load_again')}</a>`

export const menu = (nameAct) => `<h2 class="b-hide">${t('more')}</h2><div class="b-list">${
  MENU.map((act) => `<button data-act="${act}">${nameAct(act)}</button>`).join('')}</div>${close()}`

export const warmUp = (right, answer) => `<h2>${right ? t('warm_right') : t('warm_wrong', { answer })}</h2>
  <p class="b-asked" dir="auto"></p><div class="b-md" data-f="why"></div><p>${t('warm_text')}</p><button class="b-main" data-act="close" autofocus>${t('continue')}</button>`

export const figures = (f) => {
  const tiles = [['f_judged', number(f.judged)], ['f_prompts', number(f.prompts)]]
  if (f.seconds !== null) tiles.push(['f_seconds', `${number(f.seconds)} s`])
  if (f.implied) tiles.push(['f_implied', `+${number(f.implied)}`])
  if (f.repeats) tiles.push(['f_same', t('of', { a: number(f.same), b: number(f.repeats) })])
  return `<dl class="b-figures">${tiles.map(([what, n]) => `<div><dt>${t(what)}</dt><dd>${n}</dd></div>`).join('')}</dl>`
}

export const stop = () => `<h2>${t('stop_title')}</h2><p>${t('stop_text')}</p>
  <div class="b-row"><button data-act="close">${t('stop_keep')}</button><button class="b-main" data-act="stop">${t('stop_see')}</button></div>`

export const result = (atEnd) => `<div class="b-row b-result"><button data-act="result">${t(atEnd ? 'stop_see' : 'stop_button')}</button></div>`

const session = (f, state, refusals, me) => `<h2>${t('your_session')}</h2><p>${t('you_are', { name: '<b class="b-name"></b>' })}${me.sign_in ? '' : ` <button class="b-inline" data-act="leave">${t('not_you')}</button>`}</p>${f ? figures(f) : ''}<p class="b-state">${state}</p>
  ${refusals ? `<h3>${t('not_accepted')}</h3><ul class="b-refused"></ul>` : ''}
  ${me.kind === 'evaluate' && f?.judged ? result(false) : ''}
  ${me.owner ? `<p><a href="/owner" target="_blank">${t('owners_page')}</a></p>` : ''}${me.sign_in ? `<p>${signOut(false)}</p>` : ''}${close()}`

// Opens what a person has done, and where it is; `kept` tells whether this browser keeps it.
export function openSession(modal, figures, outbox, me, kept) {
  const waiting = outbox.read().length, unsent = outbox.unsent().length
  const state = unsent ? t(kept ? 'state_device' : 'state_page', { n: number(unsent) }) : waiting ? t('state_saved', { n: number(waiting) }) : t('state_hub')
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
