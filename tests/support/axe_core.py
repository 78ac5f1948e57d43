"""What keeps people out of a screen: axe-core and measurements, at three widths, in both themes.

What is measured: whether the screen scrolls sideways, clips a text or makes one too small, and
whether each control can be hit and shows when it has the focus.
"""

import os
from pathlib import Path

AXE = (Path(__file__).parent / "axe/axe.min.js").read_text("utf-8")
# Returns what is wrong, a line each: all rules, or those that are named.
RUN = """async (rules) => {
  const runOnly = rules ? { type: 'rule', values: rules } : undefined
  const found = await axe.run(document, { runOnly, rules: { 'target-size': { enabled: true } },
    resultTypes: ['violations'] })
  const places = (v) => v.nodes.map((n) => n.target.join(' ')).join(', ')
  return found.violations.map((v) => `${v.id}: ${places(v)}`)
}"""
CONTROLS = 'a[href],button,input,select,textarea,summary,[tabindex="0"]'
WIDTHS = ((390, 844), (768, 1024), (1440, 900))
FRAMES = "new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(() => go())))"
MEASURE = """(controls) => {
  const root = document.querySelector('dialog[open]') ?? document.body, wrong = []
  const say = (what, e) => wrong.push(`${what}: ${e.outerHTML.slice(0, 120)}`)
  const held = document.activeElement
  const isSeen = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true })
  const all = [...root.querySelectorAll('*')].filter(isSeen)
  const places = [document.scrollingElement, ...all].map((e) => [e, e.scrollLeft, e.scrollTop])

  if (document.scrollingElement.scrollWidth > innerWidth) wrong.push('wider than the screen')
  for (const e of all) {
    const style = getComputedStyle(e)
    const isText = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())
    if (style.clipPath !== 'none' || e.closest('.katex,head,script,style')) continue
    const isBox = isText && style.display !== 'inline' && !(e instanceof SVGElement)
    const shows = ['auto', 'scroll'].includes(style.overflowX)
    if (isBox && !shows && e.scrollWidth > e.clientWidth + 1) say('clipped', e)
    const size = parseFloat(style.fontSize) * (e.getScreenCTM?.()?.a ?? 1)
    if (isText && size < 11.9 && !e.matches('sup,sub,sup *,sub *')) say(`${size} px`, e)
  }
  for (const e of root.querySelectorAll(controls)) {
    if (!isSeen(e) || e.disabled) continue
    e.focus({ preventScroll: true })
    const { outlineStyle, outlineWidth } = getComputedStyle(e)
    if (document.activeElement !== e) say('takes no focus', e)
    else if (outlineStyle === 'none' || parseFloat(outlineWidth) < 1) say('no ring', e)
    e.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' })
    const [box] = e.getClientRects()
    const hit = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2)
    const isHit = e.contains(hit) || [...e.labels ?? []].some((label) => label.contains(hit))
    if (!isHit) say(`covered by ${hit?.outerHTML.slice(0, 80)}`, e)
  }
  if (held !== document.body) held.focus({ preventScroll: true })
  else document.activeElement.blur()
  for (const [e, left, top] of places) Object.assign(e, { scrollLeft: left, scrollTop: top })
  return wrong
}"""
looked_at: set[str] = set()


def wrong_with(page, name: str) -> list[str]:
    """Return what is wrong with a screen, once in a run: its name says which screen it is.

    What the theme changes is colour alone. Takes pictures for a person to look at, where SHOTS
    names a folder.
    """
    if name in looked_at:
        return []
    looked_at.add(name)
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    page.keyboard.press("Shift")  # what gets the focus now shows it, as by the Tab key
    size, found = page.viewport_size, []
    for width, height in WIDTHS:
        page.set_viewport_size({"width": width, "height": height})
        for theme, rules in (("dark", ["color-contrast"]), ("light", None)):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            page.evaluate(FRAMES)
            lines = page.evaluate(RUN, rules)
            if theme == "light":
                lines += page.evaluate(MEASURE, CONTROLS)
            found += [f"{name} {theme} {width}: {line}" for line in lines]
            if folder := os.environ.get("SHOTS"):
                page.screenshot(path=f"{folder}/{name}-{width}-{theme}.png", full_page=True)
    page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    page.set_viewport_size(size)
    return found
