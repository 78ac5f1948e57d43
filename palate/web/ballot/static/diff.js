// Marks the words that differ between two answers, in the rendered page.
const MAX_CELLS = 4_000_000 // of the table; beyond, only the shared beginning and end are found

function words(root) {
  const list = []
  const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT)
  for (let node = walk.nextNode(); node; node = walk.nextNode())
    for (const m of node.data.matchAll(/\S+/g)) list.push({ node, from: m.index, to: m.index + m[0].length, text: m[0] })
  return list
}

// Longest common subsequence; returns which words of a and of b are in it.
function shared(a, b) {
  let head = 0
  while (head < a.length && head < b.length && a[head].text === b[head].text) head++
  let tail = 0
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail).text === b.at(-1 - tail).text) tail++
  const inA = new Set(), inB = new Set()
  for (let i = 0; i < head; i++) { inA.add(i); inB.add(i) }
  for (let i = 1; i <= tail; i++) { inA.add(a.length - i); inB.add(b.length - i) }
  const n = a.length - head - tail, m = b.length - head - tail
  if (n * m > MAX_CELLS) return [inA, inB]
  const width = m + 1
  const best = new Uint16Array((n + 1) * width)
  for (let i = n - 1; i >= 0; i--)
    for (let j = m - 1; j >= 0; j--)
      best[i * width + j] = a[head + i].text === b[head + j].text ? best[(i + 1) * width + j + 1] + 1
        : Math.max(best[(i + 1) * width + j], best[i * width + j + 1])
  for (let i = 0, j = 0; i < n && j < m;) {
    if (a[head + i].text === b[head + j].text) { inA.add(head + i++); inB.add(head + j++) }
    else if (best[(i + 1) * width + j] >= best[i * width + j + 1]) i++
    else j++
  }
  return [inA, inB]
}

function mark(list, kept) {
  for (let i = list.length - 1; i >= 0; i--) { // from the end, so that earlier offsets stay right
    if (kept.has(i)) continue
    const { node, from, to } = list[i]
    const range = document.createRange()
    range.setStart(node, from)
    range.setEnd(node, to)
    range.surroundContents(document.createElement('mark'))
  }
}

// Marks the words that differ between the two elements; returns how many there are.
export function differences(left, right) {
  const a = words(left), b = words(right)
  const [inA, inB] = shared(a, b)
  mark(a, inA)
  mark(b, inB)
  return a.length - inA.size + b.length - inB.size
}
