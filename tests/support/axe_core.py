"""axe-core, which a page runs on itself to find what keeps people out."""

import os
from pathlib import Path

AXE = (Path(__file__).parent / "axe/axe.min.js").read_text("utf-8")
# Returns what is wrong, a line each
RUN = """async () => (await axe.run(document)).violations.map((v) =>
  `${v.id}: ${v.nodes.map((n) => n.target.join(' ')).join(', ')}`)"""
WIDTHS = ((390, 844), (768, 1024), (1440, 900))


def wrong_with(page, name: str) -> list[str]:
    """Return what axe-core finds in both themes and three widths, and where a page is too wide.

    Takes pictures for a person to look at, where SHOTS names a folder.
    """
    page.evaluate(AXE)
    size, found = page.viewport_size, []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        for width, height in WIDTHS:
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_timeout(150)
            found += [f"{name} {theme} {width}: {line}" for line in page.evaluate(RUN)]
            if page.evaluate("document.scrollingElement.scrollWidth > innerWidth"):
                found.append(f"{name} {theme}: wider than {width}")
            if folder := os.environ.get("SHOTS"):
                page.screenshot(path=f"{folder}/{name}-{width}-{theme}.png", full_page=True)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(size)
    return found
