// Typesets mathematics with KaTeX. What KaTeX does not take, or what would take long, stays as it
// was written.
const FORMULAS = 300 // of one text
const LETTERS = 5000 // of one formula
const CELLS = 600 // of its tables
const DEPTH = 250 // of elements, before the browser gives up
const DEFINES = /\\(?:[egx]?def|let|futurelet|global|(?:re)?newcommand|providecommand)(?![a-z])/i
const DISPLAY_ONLY = /\\begin\{(?:align|alignat|gather|equation|CD)\*?\}/
const DELIMITED = /^(?:\$\$([^]*)\$\$|\$([^]*)\$|\\\(([^]*)\\\)|\\\[([^]*)\\\])$/

let katex = null
let loading = null

const untrusted = () => { throw new Error('This command is not allowed.') }

// Loads KaTeX, which is large, once something needs it.
export function load() {
  loading ??= (async () => {
    const style = Object.assign(document.createElement('link'), { rel: 'stylesheet', href: '/ballot/vendor/katex/katex.min.css' })
    document.head.append(style)
    await import('/ballot/vendor/katex/katex.min.js')
    await import('/ballot/vendor/katex/mhchem.min.js')
    katex = self.katex
  })().catch(() => { loading = null }) // the next text tries again
  return loading
}

function isDeep(root) {
  for (let level = [root], depth = 0; level.length; depth++) {
    if (depth > DEPTH) return true
    level = level.flatMap((node) => [...node.children])
  }
  return false
}

function one(span) {
  const source = span.textContent
  const delimited = DELIMITED.exec(source)
  const tex = (delimited ? delimited.slice(1).find((part) => part !== undefined) : source).replace(/(?<!\\)%/g, '\\%')
  const box = document.createElement('span')
  try {
    if (tex.length > LETTERS || tex.split('&').length + tex.split('\\\\').length > CELLS) throw new Error('This is too long.')
    katex.render(tex, box, {
      displayMode: span.dataset.math === 'display' || DISPLAY_ONLY.test(tex),
      throwOnError: true, trust: untrusted, strict: 'ignore', maxSize: 20, maxExpand: DEFINES.test(tex) ? 20 : 1000,
    })
    if (isDeep(box)) throw new Error('This is too deep.')
  } catch { span.dataset.source = ''; return }
  span.dataset.source = source
  span.replaceChildren(...box.childNodes)
}

// Lets what is wider than its place scroll: browsers do not break a formula.
function fit() {
  const wide = [...document.querySelectorAll('[data-math] .katex')].map((katex) => {
    const display = katex.closest('.katex-display')
    if (display) return [display, display.scrollWidth > display.clientWidth + 1]
    const room = katex.closest('p,li,dd,td,th,h1,h2,h3,h4,h5,h6,div')?.clientWidth ?? innerWidth
    return [katex, katex.querySelector('math').getBoundingClientRect().width > room + 1]
  })
  for (const [box, isWide] of wide) {
    box.toggleAttribute('data-wide', isWide)
    if (isWide) box.tabIndex = 0
    else box.removeAttribute('tabindex')
  }
}
window.addEventListener('resize', fit)

// Typesets what is in the element, at once if KaTeX is there.
export function typeset(root) {
  const spans = [...root.querySelectorAll('[data-math]:not([data-source])')].slice(0, FORMULAS)
  if (!spans.length) return
  const all = () => { spans.filter((span) => span.isConnected).forEach(one); fit() }
  if (katex) all()
  else load().then(() => { if (katex) all() })
}
