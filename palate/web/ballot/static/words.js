// The page's own words, in the language of the browser or the one that the person chose.
// words.json holds all of them; what a project writes (question, prompts, answers) stays as it is.
import * as storage from '/ballot/storage.js'

const AGAIN_MS = 1000

async function load() {
  for (;;) {
    const answer = await fetch('/ballot/words.json').catch(() => null)
    if (answer?.ok) return answer.json()
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
  }
}

const all = await load()
export const LANGUAGES = Object.keys(all)
export let language = 'en'

// Returns the language that there is for a browser's, such as `de` for `de-AT`.
function known(wanted) {
  const [short] = wanted.split('-')
  return LANGUAGES.find((l) => l === wanted) ?? LANGUAGES.find((l) => l.split('-')[0] === short)
}

// Takes the person's choice, `` for the browser's.
export function speak(choice) {
  language = [choice, ...navigator.languages].filter(Boolean).map(known).find(Boolean) ?? 'en'
  document.documentElement.lang = language
  document.documentElement.dir = language === 'ar' ? 'rtl' : 'ltr'
}

export const t = (name, values = {}) => all[language][name].replace(/\{(\w+)\}/g, (_, part) => values[part])

export const number = (n) => Number(n).toLocaleString(language)

export const nameOf = (l) => all[l].name

// Writes the words into elements that name them: as their text, or as what they are called.
export function label(root) {
  for (const e of root.querySelectorAll('[data-t]')) e.textContent = t(e.dataset.t, { hub: t('on_hub') })
  for (const e of root.querySelectorAll('[data-title]')) e.title = t(e.dataset.title)
  for (const e of root.querySelectorAll('[data-label]')) {
    e.ariaLabel = t(e.dataset.label)
    if (e.matches('button')) e.title = e.ariaLabel
  }
}

speak(storage.get('language'))
