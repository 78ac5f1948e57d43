"""What a person may type into Argilla's search: every word, "phrases", | for or, -not, prefix*."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A word or a phrase; of a prefix, words count that only begin with it."""

    text: str
    prefix: bool


def parse(q: str) -> tuple[list[list[Term]], list[Term]]:
    """Return alternatives, of which one has to occur with all its terms, and what must not."""
    alternatives: list[list[Term]] = [[]]
    unwanted = []
    for minus, phrase, bare in re.findall(r'(-?)(?:"([^"]*)"|([^\s"]+))', q):
        word = phrase or bare
        if bare == "|":
            alternatives.append([])
        elif re.search(r"\w", word):
            term = Term(word.rstrip("*"), word.endswith("*"))
            (unwanted if minus else alternatives[-1]).append(term)
    return [terms for terms in alternatives if terms], unwanted
