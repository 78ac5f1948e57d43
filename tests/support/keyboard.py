"""A page by keyboard alone: what the Tab key reaches, and whether one sees where the focus is."""

# Marks the element with the focus. Returns it in short if nothing shows that it has the focus.
STOP = """() => {
  const e = document.activeElement
  if (e === document.body) return ''
  e.dataset.tabbed = ''
  const { outlineStyle, outlineWidth } = getComputedStyle(e)
  const seen = outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1 && e.checkVisibility()
  return seen ? '' : `no ring: ${e.outerHTML.slice(0, 100)}`
}"""
LEFT = """(root) => [...document.querySelector(root).querySelectorAll(
    'a[href],button,input,select,textarea,summary,[tabindex="0"]')]
  .filter((e) => e.checkVisibility() && !e.disabled && !('tabbed' in e.dataset))
  .map((e) => `not reached: ${e.outerHTML.slice(0, 100)}`)"""
FOCUS = "document.activeElement.innerText || document.activeElement.outerHTML.slice(0, 100)"


def wrong_by_tab(page, root: str, stops: int = 60) -> list[str]:
    """Press Tab so often; return which controls in `root` it does not reach, or shows badly."""
    wrong = {page.evaluate(STOP)}
    for _ in range(stops):
        page.keyboard.press("Tab")
        wrong.add(page.evaluate(STOP))
    return [*sorted(wrong - {""}), *page.evaluate(LEFT, root)]


def go_to(page, selector: str, stops: int = 60) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(stops):
        if page.evaluate("(s) => document.activeElement.matches(s)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {selector}: {page.evaluate(FOCUS)}")


def has_focus(page, selector: str) -> None:
    """Wait until an element has the focus."""
    page.wait_for_selector(f"{selector}:focus", timeout=10000)
