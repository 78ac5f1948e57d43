"""A ballot with answers of all kinds, and how a test opens it and goes through it."""

import struct
import zlib
from base64 import b64encode


def png(width: int, height: int) -> str:
    """Return an image's data."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = zlib.compress(b"".join(b"\0" + b"\x4f\x46\xe5" * width for _ in range(height)))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return f"data:image/png;base64,{b64encode(content).decode()}"


CHAT = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "What is a loaf?"},
    {"role": "assistant", "content": "Bread in *one* piece."},
    {"role": "user", "content": f"Like this? ![a loaf]({png(40, 20)})"},
]
RICH = (
    f"Use $x^2$, or ${'x' * 90}$ that is wide.\n\n$${'y' * 150}$$\n\n"
    "```python\nprint('a line that is longer than a card of a phone is wide')\n```\n"
    "\n| one | two | three | four | five | six | seven |\n|-|-|-|-|-|-|-|\n|a|b|c|d|e|f|g|\n\n"
    "> quoted\n\n- [x] done\n\n[a link](https://e.example) ![gone](https://e.example/x.png)"
)
LONG = "\n\n".join(f"Paragraph {i} says something that takes a line or two." for i in range(80))
WIDE = "\n".join(
    f"|{'|'.join(cells)}|"
    for cells in ([f"column {n}" for n in range(40)], ["-"] * 40, [str(n) for n in range(40)])
)
BAD = {"40 columns": WIDE, "one word": "w" * 10_000, "200 kB": "word " * 40_000}
PAIRS = [
    (CHAT, RICH, "Short."),
    ("Long?", LONG, LONG[:2000]),
    ("Bad input?", BAD["200 kB"], BAD["one word"]),
    ("Wide?", BAD["40 columns"], "1"),
    ("Nothing?", "", "\n\n"),
    *((f"Prompt {i}", f"left {i}", f"right {i}") for i in range(15)),
]


def opened(page, name: str, width: int = 1440, height: int = 900, **kept: str):
    """Open the page as this person, with what their browser keeps."""
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{page.server.url}/ballot/inter-LICENSE.txt")
    page.evaluate(
        """(kept) => { localStorage.clear()
      for (const [k, v] of Object.entries(kept)) localStorage.setItem(`palate:${k}`, v) }""",
        kept,
    )
    page.goto(f"{page.server.url}/?as={name}")
    ready(page)


def ready(page) -> None:
    page.wait_for_selector(".ballot[data-state=ready]", timeout=60000)
    page.wait_for_timeout(270)


def aid(page) -> str:
    return page.get_attribute(".ballot", "data-aid")


def press(page, key: str) -> None:
    before = aid(page)
    page.keyboard.press(key)
    page.wait_for_selector(f'.ballot:not([data-aid="{before}"])')
    ready(page)


def skip_to(page, prompt: str) -> None:
    while prompt not in page.inner_text("[data-f=prompt]"):
        press(page, "x")


def wide(page) -> bool:
    return page.evaluate("document.scrollingElement.scrollWidth > innerWidth")
