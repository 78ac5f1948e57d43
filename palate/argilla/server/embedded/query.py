"""The syntax of Argilla's search box: words, "phrases", | for or, -not, prefix*."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A word or a phrase; a prefix also matches words that start with it."""

    text: str
    prefix: bool


def parse(q: str) -> tuple[list[list[Term]], list[Term]]:
    """Return the alternatives, one of which must match with all its terms, and excluded terms."""
    alternatives: list[list[Term]] = [[]]
    excluded = []
    for minus, phrase, bare in re.findall(r'(-?)(?:"([^"]*)"|([^\s"]+))', q):
        word = phrase or bare
        if bare == "|":
            alternatives.append([])
        elif re.search(r"\w", word):
            term = Term(word.rstrip("*"), word.endswith("*"))
            (excluded if minus else alternatives[-1]).append(term)
    return [terms for terms in alternatives if terms], excluded
