"""Features of a text that can be counted. Pure: no I/O."""

import re
from collections.abc import Callable

_MARKDOWN = re.compile(r"^#{1,6} |^\s*[-*] |^\s*\d+\. |\*\*\S|```|^\|.+\|$|\]\(", re.MULTILINE)
FORMATS: dict[str, Callable[[str], bool]] = {
    "a quotation mark": lambda t: any(q in t for q in '"“”„«»'),
    "a digit": lambda t: any(c.isdigit() for c in t),
    "a question mark": lambda t: "?" in t,
    "an exclamation mark": lambda t: "!" in t,
    "a colon": lambda t: ":" in t,
    "markdown": lambda t: bool(_MARKDOWN.search(t)),
    "several lines": lambda t: "\n" in t.strip(),
}
