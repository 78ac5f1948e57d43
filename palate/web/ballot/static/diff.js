// Marks the words that differ between two answers, in the page.
import { diffArrays } from '/ballot/vendor/diff/array.js'

const TIMEOUT_MS = 1000 // for two long answers that share little
const SPACELESS = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]/u
const segmenter = new Intl.Segmenter(undefined, { granularity: 'word' })

function* split(text) {
  for (const { 0: word, index } of text.matchAll(/\S+/g)) {
    if (!SPACELESS.test(word)) yield [index, word]
    else for (const part of segmenter.segment(word)) yield [index + part.index, part.segment]
  }
}

// A formula is one word.
function words(root) {
  const list = []
  const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT, (node) =>
    node.parentElement.closest('[data-math],.b-code-head') || node.matches?.('.b-code-head') ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT)
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    if (node.matches?.('[data-math]')) list.push({ node, text: node.dataset.source || node.textContent })
    else if (node.data) for (const [from, text] of split(node.data)) list.push({ node, from, to: from + text.length, text })
  }
  return list
}

function mark({ node, from, to }) {
  const range = document.createRange()
  if (from === undefined) range.selectNode(node)
  else { range.setStart(node, from); range.setEnd(node, to) }
  range.surroundContents(document.createElement('mark'))
}

// Marks the words that differ between the two elements; returns how many there are, or null if
// finding them takes too long.
export function differences(left, right) {
  const a = words(left), b = words(right)
  const changes = diffArrays(a.map((word) => word.text), b.map((word) => word.text), { timeout: TIMEOUT_MS })
  if (!changes) return null
  const differing = []
  let i = 0, j = 0
  for (const { count, added, removed } of changes) {
    if (removed) differing.push(...a.slice(i, i + count))
    if (added) differing.push(...b.slice(j, j + count))
    i += added ? 0 : count
    j += removed ? 0 : count
  }
  differing.reverse().forEach(mark) // from the end, so that earlier offsets stay right
  return differing.length
}
