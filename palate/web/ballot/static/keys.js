// The keys of the page.
const BY = {
  ArrowLeft: 'left', ArrowRight: 'right', ArrowDown: 'tie', t: 'tie', b: 'bad', x: 'skip', u: 'undo', Backspace: 'undo',
  d: 'diff', r: 'written', c: 'note', f: 'flag', w: 'rewrite', '?': 'help',
}
const STRENGTH = { 1: ['left', 4], 2: ['left', 3], 3: ['left', 2], 4: ['left', 1], 7: ['right', 1], 8: ['right', 2], 9: ['right', 3], 0: ['right', 4] }

// Whether the key scrolls the page, or what has the focus, such as a long answer or a wide table.
function scrolls({ key, target }) {
  const box = target.closest?.('pre,.b-table,.b-card,.b-prompt')
  const tall = (e) => e && e.scrollHeight > e.clientHeight + 1
  if (/^Arrow(Up|Down)$/.test(key)) return [document.scrollingElement, box, box?.closest('.b-card')].some(tall)
  return /^Arrow(Left|Right)$/.test(key) && box?.matches('pre,.b-table') && box.scrollWidth > box.clientWidth + 1
}

export function listen(acts, modal) {
  window.addEventListener('keydown', (e) => {
    if (e.repeat || e.ctrlKey || e.metaKey || e.altKey || e.isComposing) return
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName) || (modal.isOpen && e.key !== '?') || scrolls(e)) return
    const digit = /^Digit(\d)$/.exec(e.code)?.[1] // by position, for any keyboard layout
    const [name, value] = (!e.shiftKey && STRENGTH[digit]) || [BY[e.key.length === 1 ? e.key.toLowerCase() : e.key]]
    if (name) { e.preventDefault(); acts[name](value) }
  })
}
