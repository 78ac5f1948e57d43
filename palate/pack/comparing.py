"""Whether a packed model answers as the model does, token by token. Pure: no I/O.

The model's likeliest answer is given to the packed one token by token: an answer that once went
another way would differ in all that follows. What counts is how far the probability of each token
moves. Whether it stays the likeliest one says less, since the second may be as likely.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from palate.core.markdown import count
from palate.pack.config import Gguf

PROMPTS = 20
TOKENS = 32  # of each answer
# mean change of a token's probability that is allowed, measured in docs/pack.md
BOUNDS: dict[Gguf, float] = {"q8_0": 0.03, "q4_k_m": 0.1}


@dataclass(frozen=True)
class Answer:
    """A model's likeliest answer: the tokens of the prompt, its own, and their probabilities."""

    start: Sequence[int]
    tokens: Sequence[int]
    probabilities: Sequence[float]


@dataclass(frozen=True)
class Step:
    """A packed model's next token, and the probabilities of the likeliest ones."""

    token: int
    probabilities: Mapping[int, float]


Next = Callable[[Sequence[int], int], Sequence[Step]]  # the next n tokens after a beginning


@dataclass(frozen=True)
class Sameness:
    """How far the packed model answers as the model does."""

    prompts: int
    answers: int  # the same to their end, or for as many tokens as were looked at
    tokens: int
    same: int  # tokens that the packed model would have chosen, too
    change: float  # mean change of a token's probability
    bound: float  # the largest change that is allowed

    @property
    def holds(self) -> bool:
        return self.change <= self.bound

    def sentence(self) -> str:
        return (
            f"in llama.cpp, the probability of a token differs by {100 * self.change:.1f} points on"
            f" average (at most {100 * self.bound:.0f} are allowed; {count(self.tokens, 'token')}),"
            f" {self.same:,} tokens and {self.answers} of {count(self.prompts, 'answer')} are the"
            " same"
        )


def compare(answers: Sequence[Answer], following: Next, gguf: Gguf) -> Sameness:
    """Compare on the model's answers; `following` is what the packed model continues with."""
    steps = [_steps(answer, following) for answer in answers]
    same, changes = [], []
    for answer, steps_of in zip(answers, steps, strict=True):
        same.append(
            [s is not None and s.token == t for s, t in zip(steps_of, answer.tokens, strict=True)]
        )
        changes += [
            abs(p - (step.probabilities.get(token, 0.0) if step else 0.0))
            for step, token, p in zip(steps_of, answer.tokens, answer.probabilities, strict=True)
        ]
    return Sameness(
        prompts=len(answers),
        answers=sum(map(all, same)),
        tokens=len(changes),
        same=sum(map(sum, same)),
        change=sum(changes) / len(changes),
        bound=BOUNDS[gguf],
    )


def _steps(answer: Answer, following: Next) -> list[Step | None]:
    """Return what comes after each beginning of the answer; None where nothing does."""
    steps: list[Step | None] = []
    while len(steps) < len(answer.tokens):
        at = len(steps)
        for step, token in zip(
            following([*answer.start, *answer.tokens[:at]], len(answer.tokens) - at),
            answer.tokens[at:],
            strict=False,
        ):
            steps.append(step)
            if step.token != token:  # the model's own token is given, and the next one asked for
                break
        if len(steps) == at:
            steps.append(None)
    return steps
