// How long somebody has been at it, and when a break would help.
import { number, t } from '/ballot/words.js'

const SITTING_MS = 25 * 60 * 1000 // after which a break is suggested
const BREAK_MS = 5 * 60 * 1000 // without an answer: that was a break

let since = Date.now()
let last = since
let count = 0

// Notes an answer; returns a new text for the page, '' to clear it, or null to leave it.
export function answered() {
  const now = Date.now()
  if (now - last > BREAK_MS) { since = now; count = 0 }
  last = now
  count++
  if (now - since < SITTING_MS) return count % 5 ? null : ''
  const text = t('break', { n: number(count), minutes: number(Math.round((now - since) / 60000)) })
  since = now
  count = 0
  return text
}
