"""Prompts that ask the same in nearly the same words. Pure: no I/O.

Two prompts are alike if they are equal once Unicode variants, accents, case, invisible characters,
punctuation and "please" are gone; or but for one typo, one word more, or one changed word; or, if
they are long, if nearly all runs of three words are the same. Words with which several texts begin
or end, and which they continue differently, are a template: what fills it has to be alike, and a
few words that differ in one are not.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from zlib import crc32

POLITE = {"please", "kindly"}
LONG = 60  # words; from here on runs of words are compared
RUN = 3  # words
SAME_RUNS = 0.8  # of the runs of two long texts, for them to be alike
SKETCH = 6  # of a text's runs; alike texts share at least one of these, nearly always
TYPO_LETTERS = 5  # of a word; a shorter one with another letter is another word
BARE = 2  # words with which a text fills a template
TYPO_IN_A_TEMPLATE = 6  # letters: two such subjects may differ in one
SHARED_WORDS = 7  # of two texts that differ in one word; with fewer they may ask different things
FILLED = 5  # different words with which texts continue a template
MANY = 50  # words in one gap, from which on they are indexed
INVISIBLE = {"Cf", "Cc"}  # Unicode categories: zero-width characters and controls
ARITHMETIC = set("*/%-")  # punctuation that means something next to digits
HAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
THAI = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
SPOKEN = re.compile(rf"[{HAN}]{{1,2}}|[{THAI}]{{1,4}}|[^\s{HAN}{THAI}]+")
WITH_ACCENTS = ("LATIN", "GREEK", "CYRILLIC")  # elsewhere a mark makes another letter


class Similar:
    """Texts that are known, and which of them another text is like.

    `corpus` are all texts at hand, known or not: they show which forms are templates.
    """

    def __init__(self, corpus: Iterable[str]):
        self._words = {text: tuple(words(text)) for text in corpus}
        distinct = set(self._words.values())
        short = [own for own in distinct if len(own) < LONG]
        self._forms = Counter(g for own in short for g, _ in _gaps(own))
        self._after: dict[int, set[str]] = {}  # hash of the first words → words that follow
        self._before: dict[int, set[str]] = {}  # hash of the last words → words before them
        for own in short:
            for i in range(1, len(own)):
                self._after.setdefault(hash(own[:i]), set()).add(own[i])
                self._before.setdefault(hash(own[i:]), set()).add(own[i - 1])
        self._whole: dict[int, str] = {}  # hash of the words → text
        self._without: dict[int, str] = {}  # hash of all words but one → text
        self._filled: dict[int, dict[str, str]] = {}  # form → word in its gap → text
        self._deletes: dict[int, dict[str, str]] = {}  # the same by the word without a letter
        self._runs: dict[int, list[tuple[set[int], str]]] = {}  # run in a sketch → long texts

    def add(self, text: str) -> None:
        """Make the text known."""
        own = self._words_of(text)
        self._whole.setdefault(hash(own), text)
        if len(own) >= LONG:
            runs = _runs(own)
            for run in _sketch(runs):
                self._runs.setdefault(run, []).append((runs, text))
            return
        slot = self._slot(own)
        for i, (gap, word) in enumerate(_gaps(own)):
            self._filled.setdefault(gap, {}).setdefault(word, text)
            self._deletes.pop(gap, None)
            if i in slot and len(slot) > SHARED_WORDS:
                self._without.setdefault(hash(own[:i] + own[i + 1 :]), text)

    def like(self, text: str) -> str | None:
        """Return a known text that asks the same, None if there is none."""
        own = self._words_of(text)
        if (known := self._whole.get(hash(own))) is not None:
            return known
        return self._long(own) if len(own) >= LONG else self._short(own)

    def _words_of(self, text: str) -> tuple[str, ...]:
        return self._words[text] if text in self._words else tuple(words(text))

    def _short(self, own: tuple[str, ...]) -> str | None:
        if known := self._without.get(hash(own)):
            return known
        slot = self._slot(own)
        bare = len(slot) < len(own) and len(slot) <= BARE
        letters = TYPO_IN_A_TEMPLATE if bare else TYPO_LETTERS
        for i, (gap, word) in enumerate(_gaps(own)):
            filled = self._filled.get(gap, {})
            if filled and len(word) >= letters and (known := self._typo(gap, word, filled)):
                return known
            if len(slot) <= SHARED_WORDS or i not in slot:
                continue
            if known := self._whole.get(hash(own[:i] + own[i + 1 :])):
                return known
            others = self._forms[gap] - (1 if gap in self._forms else 0)
            numbers = any(c.isdigit() for c in word + "".join(filled))
            if len(filled) == 1 and others <= 1 and not numbers:
                return next(iter(filled.values()))
        return None

    def _slot(self, own: tuple[str, ...]) -> range:
        """Return the places of the words that are not of a template."""
        inner = range(1, len(own))
        start = max(
            (i for i in inner if len(self._after.get(hash(own[:i]), ())) >= FILLED), default=0
        )
        ends = (i for i in inner if len(self._before.get(hash(own[i:]), ())) >= FILLED)
        end = min((i for i in ends if i > start), default=len(own))
        return range(start, end)

    def _typo(self, gap: int, word: str, filled: dict[str, str]) -> str | None:
        if len(filled) < MANY:
            return next((text for other, text in filled.items() if is_typo(word, other)), None)
        if gap not in self._deletes:
            index: dict[str, str] = {}
            for other in filled:
                for short in {other, *_shorter(other)}:
                    index.setdefault(short, other)
            self._deletes[gap] = index
        index = self._deletes[gap]
        others = (index[short] for short in {word, *_shorter(word)} if short in index)
        return next((filled[other] for other in others if is_typo(word, other)), None)

    def _long(self, own: tuple[str, ...]) -> str | None:
        runs = _runs(own)
        for run in _sketch(runs):
            for other, text in self._runs.get(run, ()):
                if len(runs & other) >= SAME_RUNS * len(runs | other):
                    return text
        return None


def alike(texts: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Return those of `texts` that are like one of `known`, each with the one it is like."""
    texts, known = list(dict.fromkeys(texts)), list(dict.fromkeys(known))
    if not texts or not known:
        return {}
    index = Similar([*texts, *known])
    for text in known:
        index.add(text)
    return {text: other for text in texts if (other := index.like(text)) is not None}


def spoken_words(text: str) -> list[str]:
    """Return the words of a text as they are, in scripts without spaces as well.

    There, two Chinese or Japanese characters count as a word, and four letters of Thai, Lao, Khmer
    or Burmese.
    """
    return SPOKEN.findall(text)


def words(text: str) -> list[str]:
    """Return the words of a text without what makes no difference, such as case."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    if not folded.isascii():
        folded = _plain(folded)
    drop = ARITHMETIC if not any(c.isdigit() for c in folded) else set()
    gone = {ord(c): " " for c in set(folded) if c in drop or not _is_kept(c)}
    return [w for w in folded.translate(gone).split() if w not in POLITE] or folded.split()


def _plain(text: str) -> str:
    """Return the text without accents on Latin, Greek and Cyrillic letters, and the invisible."""
    letters, base = [], ""
    for c in unicodedata.normalize("NFD", text):
        if unicodedata.combining(c):
            if not _takes_accents(base):
                letters.append(c)
        elif c.isspace() or unicodedata.category(c) not in INVISIBLE:
            letters.append(c)
            base = c
    return unicodedata.normalize("NFC", "".join(letters))


@cache
def _takes_accents(letter: str) -> bool:
    return bool(letter) and unicodedata.name(letter, "").startswith(WITH_ACCENTS)


@cache
def _is_kept(c: str) -> bool:
    return c in ARITHMETIC or not unicodedata.category(c).startswith("P")


def is_typo(one: str, other: str) -> bool:
    """Tell whether two words differ by one letter: another, one more, or two exchanged."""
    short, long = sorted((one, other), key=len)
    if len(short) < TYPO_LETTERS or len(long) - len(short) > 1 or re.search(r"\d", one + other):
        return False
    i = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) < len(long):
        return short[i:] == long[i + 1 :]
    exchanged = short[i : i + 2] == long[i : i + 2][::-1] and short[i + 2 :] == long[i + 2 :]
    return short[i + 1 :] == long[i + 1 :] or exchanged


def _shorter(word: str) -> Iterator[str]:
    return (word[:i] + word[i + 1 :] for i in range(len(word)))


def _gaps(own: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Yield each word with the hash of the text that has a gap in its place."""
    for i, word in enumerate(own):
        yield hash((own[:i], own[i + 1 :])), word


def _runs(own: tuple[str, ...]) -> set[int]:
    # not hash(), which differs from process to process: the smallest ones are a text's sketch
    return {crc32(" ".join(own[i : i + RUN]).encode()) for i in range(len(own) - RUN + 1)}


def _sketch(runs: set[int]) -> list[int]:
    return sorted(runs)[:SKETCH]
