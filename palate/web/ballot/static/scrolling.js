// Long answers: a sign that more is below, and both answers scrolling together.
import { t } from '/ballot/words.js'

const HIDDEN = 12 // px below the fold that no sign is needed for
const SCREEN = 0.85 // of what is visible, that the sign scrolls on

const smooth = () => matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth'
const isBelow = (e) => e.scrollHeight - e.clientHeight - e.scrollTop > HIDDEN

// `isTogether()` tells whether both answers scroll together.
export function watch(root, isTogether) {
  const page = document.scrollingElement
  const question = root.querySelector('.b-brand')
  const cards = [...root.querySelectorAll('.b-card')]
  const boxes = [root.querySelector('.b-prompt'), ...cards]
  const set = new Map() // where a card was scrolled to along with the other

  for (const box of boxes) {
    const sign = Object.assign(document.createElement('button'), { className: 'b-below', tabIndex: -1, ariaHidden: 'true' })
    sign.dataset.act = 'below'
    sign.append(Object.assign(document.createElement('span'), { textContent: t('below') }))
    sign.firstChild.dataset.t = 'below'
    box.append(sign)
    box.addEventListener('scroll', () => { look(); along(box) }, { passive: true })
  }

  function along(card) {
    const other = cards.find((c) => c !== card)
    if (!isTogether() || !cards.includes(card)) return
    if (Math.abs((set.get(card) ?? -9) - card.scrollTop) < 2) { set.delete(card); return }
    const share = card.scrollTop / Math.max(1, card.scrollHeight - card.clientHeight)
    other.scrollTop = share * (other.scrollHeight - other.clientHeight)
    set.set(other, other.scrollTop)
  }

  function look() {
    for (const box of boxes) box.toggleAttribute('data-below', isBelow(box))
    for (const box of [boxes[0], question]) { // what scrolls can be reached by Tab
      if (box.scrollHeight > box.clientHeight + 1) box.tabIndex = 0
      else if (box === question) box.removeAttribute('tabindex')
      else box.tabIndex = -1
    }
    root.toggleAttribute('data-below', isBelow(page))
  }

  const observer = new ResizeObserver(look)
  for (const box of boxes) for (const e of [box, box.querySelector('.b-md')]) observer.observe(e)
  observer.observe(question)
  window.addEventListener('scroll', look, { passive: true })
  window.addEventListener('resize', look, { passive: true })
}

// Scrolls on what the sign is in.
export function on(sign) {
  const box = sign.closest('.b-card,.b-prompt') ?? document.scrollingElement
  const height = box === document.scrollingElement ? box.clientHeight - sign.closest('.b-tools').offsetHeight : box.clientHeight
  box.scrollBy({ top: SCREEN * height, behavior: smooth() })
}
