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

export const number = (n) => Number(n).toLocaleString(language)

// A number of things. Halves are rounded as the server rounds them.
const some = (n, one, many) => `${number(n)} ${new Intl.PluralRules(language).select(n) === 'one' ? one : many}`
const percent = (share, digits) => share.toLocaleString(language, {
  style: 'percent', minimumFractionDigits: digits, maximumFractionDigits: digits, roundingMode: 'halfEven',
})
const plain = (value) => typeof value === 'number' ? number(value) : value?.name ? t(value.name, value.values) : value

// {n} is a value, {n|pair|pairs} with what it counts, {rate%1} a percentage with so many decimals.
const PART = /\{(\w+)(?:%(\d?)|\|([^|}]*)\|([^}]*))?\}/g

export const t = (name, values = {}) => all[language][name].replace(PART, (_, part, digits, one, many) =>
  digits !== undefined ? percent(values[part], Number(digits)) : one !== undefined ? some(values[part], one, many) : plain(values[part]))

export const nameOf = (l) => all[l].name

// Writes the words into elements that name them: as their text, or as what they are called.
export function label(root) {
  const values = (e) => JSON.parse(e.dataset.values ?? '{}')
  for (const e of root.querySelectorAll('[data-t]')) e.textContent = t(e.dataset.t, values(e))
  for (const e of root.querySelectorAll('[data-n]')) e.textContent = number(e.dataset.n)
  for (const e of root.querySelectorAll('[data-title]')) e.title = t(e.dataset.title)
  for (const e of root.querySelectorAll('[data-label]')) {
    e.ariaLabel = t(e.dataset.label, values(e))
    if (e.matches('button')) e.title = e.ariaLabel
  }
}

speak(storage.get('language'))
