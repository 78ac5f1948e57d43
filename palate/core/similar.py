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
from functools import cache, lru_cache
from itertools import pairwise
from zlib import crc32

POLITE = {"please", "kindly", "请", "請"}
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
# what is compared as a word where no spaces part them: a run of katakana, one character, a piece of
# Thai, Lao, Khmer or Burmese between vowels that begin or end a syllable
LEADING, ENDING = "\u0e40-\u0e44\u0ec0-\u0ec4", "\u0e30\u0e32\u0eb0\u0eb2"
UNIT = re.compile(
    rf"[\u30a0-\u30ff]+|[{HAN}]|(?=[{THAI}])[{LEADING}]?(?:(?![{LEADING}{ENDING}])[{THAI}])*"
    rf"[{ENDING}]?|[^{HAN}{THAI}]+"
)
HALF_A_WORD = re.compile(rf"[{HAN}]")
QUARTERS = re.compile(rf"[{THAI}]+")  # of a word, about: its letters
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
        self._forms = Counter(g for own in short for _, g, _ in _gaps(own))
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
        for _, gap, word in _gaps(own):
            self._filled.setdefault(gap, {}).setdefault(word, text)
            self._deletes.pop(gap, None)
        slot = self._slot(own)
        if _size(own[i] for i in slot) > SHARED_WORDS:
            for rest in _without_one(own, slot):
                self._without.setdefault(rest, text)

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
        size = _size(own[i] for i in slot)
        bare = len(slot) < len(own) and size <= BARE
        letters = TYPO_IN_A_TEMPLATE if bare else TYPO_LETTERS
        in_full = size > SHARED_WORDS
        for rest in _without_one(own, slot) if in_full else ():
            if known := self._whole.get(rest):
                return known
        for i, gap, word in _gaps(own):
            filled = self._filled.get(gap, {})
            if filled and len(word) >= letters and (known := self._typo(gap, word, filled)):
                return known
            if not in_full or i not in slot:
                continue
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


@lru_cache(100_000)  # each text of a project is in several pairs
def spoken_length(text: str) -> int:
    """Return how many words a text has."""
    return len(spoken_words(text))


def words(text: str) -> list[str]:
    """Return the words of a text without what makes no difference, such as case."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    if not folded.isascii():
        folded = _plain(folded)
    drop = ARITHMETIC if not any(c.isdigit() for c in folded) else set()
    gone = {ord(c): " " for c in set(folded) if c in drop or not _is_kept(c)}
    parts = folded.translate(gone).split()
    if not folded.isascii():
        parts = [unit for word in parts for unit in UNIT.findall(word)]
    return [w for w in parts if w not in POLITE] or folded.split()


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


def _is_half(unit: str) -> bool:
    """Tell whether it is one Chinese or Japanese character, of which two count as a word."""
    return len(unit) == 1 and unit >= "\u3040" and bool(HALF_A_WORD.match(unit))


def _size(units: Iterable[str]) -> float:
    """Return how many words the units are."""
    return sum(
        0.5 if _is_half(u) else len(u) / 4 if u >= "\u0e00" and QUARTERS.fullmatch(u) else 1
        for u in units
    )


def _gaps(own: tuple[str, ...]) -> Iterator[tuple[int, int, str]]:
    """Yield the place of each word, the hash of the text with a gap there, and the word.

    Where a character is half a word, every two of them follow.
    """
    for i, word in enumerate(own):
        yield i, hash((own[:i], own[i + 1 :])), word
    for i in _twos(own):
        yield i, hash((own[:i], own[i + 2 :])), own[i] + own[i + 1]


def _twos(own: tuple[str, ...]) -> Iterator[int]:
    halves = [_is_half(unit) for unit in own]
    return (i for i, two in enumerate(pairwise(halves)) if all(two))


def _without_one(own: tuple[str, ...], slot: range) -> Iterator[int]:
    """Yield the hash of the text without each word of the slot."""
    for i in slot:
        yield hash(own[:i] + own[i + 1 :])
    for i in _twos(own):
        if i in slot and i + 1 in slot:
            yield hash(own[:i] + own[i + 2 :])


def _runs(own: tuple[str, ...]) -> set[int]:
    # not hash(), which differs from process to process: the smallest ones are a text's sketch
    return {crc32(" ".join(own[i : i + RUN]).encode()) for i in range(len(own) - RUN + 1)}


def _sketch(runs: set[int]) -> list[int]:
    return sorted(runs)[:SKETCH]
