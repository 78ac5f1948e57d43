// The person's settings of the page. This device keeps them.
import * as keys from '/ballot/keys.js'
import * as storage from '/ballot/storage.js'
import { LANGUAGES, language, nameOf, speak, t } from '/ballot/words.js'

const CHOICES = { theme: ['auto', 'light', 'dark'], layout: ['columns', 'stacked'], width: ['normal', 'full'] }
const VALUES = { ...CHOICES, together: ['off', 'on'] }

export const get = (name) => {
  const value = storage.get(name)
  return VALUES[name].includes(value) ? value : VALUES[name][0]
}

// Brings the page in line with what is set.
export function apply(root) {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches
  const theme = get('theme')
  document.documentElement.className = theme === 'auto' ? (dark ? 'dark' : 'light') : theme
  root.dataset.layout = get('layout')
  root.dataset.width = get('width')
}

const option = (value, text, chosen) => `<option value="${value}" ${value === chosen ? 'selected' : ''}>${text}</option>`

const choice = (name) => `<label><span>${t(name)}</span><select data-set="${name}">${
  CHOICES[name].map((value) => option(value, t(value), get(name))).join('')}</select></label>`

const languages = () => `<label><span>${t('language')}</span><select data-set="language">${
  option('', t('auto'), storage.get('language') ?? '')}${
  LANGUAGES.map((l) => `<option value="${l}" lang="${l}" ${l === storage.get('language') ? 'selected' : ''}>${nameOf(l)}</option>`).join('')}</select></label>`

const box = (name, isOn) => `<label class="b-check"><input type="checkbox" data-set="${name}" ${isOn ? 'checked' : ''}><span>${t(name)}</span></label>`

const key = (name, nameAct) => {
  const list = keys.keysOf(name).map(keys.shown).join(' ')
  return `<li><span id="k-${name}">${nameAct(name)}</span><button type="button" data-key="${name}" aria-describedby="k-${name}">${list || '–'}</button></li>`
}

const html = (nameAct, names) => `<h2>${t('settings')}</h2><div class="b-settings">
  ${languages()}${choice('theme')}${choice('layout')}${choice('width')}${box('together', get('together') === 'on')}${box('keys_on', keys.areOn())}
  <details class="b-own"><summary>${t('keys_own')}</summary><p>${t('keys_hint')}</p>
  <ul>${names.map((name) => key(name, nameAct)).join('')}</ul><button type="button" data-key="">${t('keys_reset')}</button></details></div>
  <button class="b-main" data-act="close">${t('close')}</button>`

// Opens the settings. `nameAct(name)` says in words what a key does, `changed()` is called after a
// change.
export function open(modal, names, nameAct, changed) {
  const again = (focus) => {
    const isOpen = modal.element.querySelector('details').open
    changed()
    open(modal, names, nameAct, changed)
    modal.element.querySelector('details').open = isOpen
    modal.element.querySelector(focus).focus()
  }
  modal.open(html(nameAct, names), {
    fill: (d) => {
      d.querySelector('.b-settings').addEventListener('change', ({ target }) => {
        const name = target.dataset.set
        if (name === 'keys_on') keys.turn(target.checked)
        else storage.set(name, target.type === 'checkbox' ? (target.checked ? 'on' : 'off') : target.value)
        if (name === 'language') speak(target.value)
        again(`[data-set=${name}]`)
      })
      d.querySelector('.b-settings').addEventListener('click', ({ target }) => {
        const name = target.dataset.key
        if (name === '') { keys.reset(); again('[data-key=""]') }
        if (name) ask(target, name, again)
      })
    },
  })
}

// Waits for the key that something is to have; Escape leaves it as it is.
function ask(button, name, again) {
  const text = button.textContent
  button.textContent = t('press_key')
  const done = () => { button.removeEventListener('keydown', take); button.removeEventListener('blur', leave) }
  const leave = () => { done(); button.textContent = text }
  function take(e) {
    if (e.key === 'Tab') return
    e.preventDefault()
    e.stopPropagation()
    const key = keys.keyOf(e)
    if (key) keys.assign(name, key)
    if (key || e.key === 'Escape') { done(); again(`[data-key="${name}"]`) }
  }
  button.addEventListener('keydown', take)
  button.addEventListener('blur', leave)
}
