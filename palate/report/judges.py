"""Ask a judge: a model that runs here, or one over the network."""

from collections.abc import Callable, Sequence

from palate.core.errors import UsageError
from palate.core.schema import Message
from palate.evaluate.config import ENDPOINT_KEY, JudgeArguments
from palate.generate import models
from palate.generate.generation import Sampling, complete
from palate.generate.openai import ChatClient

REPLY_TOKENS = 6  # for "A", "B" or "tie"
GREEDY = Sampling(temperature=1e-4, max_new_tokens=REPLY_TOKENS)

Ask = Callable[[Sequence[list[Message]]], list[str]]


def check(args: JudgeArguments) -> None:
    """Raise UsageError for a judge in two places."""
    if args.endpoint and args.provider:
        raise UsageError("Give an --endpoint or a --provider, not both.")


def judge_of(args: JudgeArguments) -> tuple[str, Ask]:
    """Return the judge's name, and a function that returns its replies to some messages."""
    return _remote(args) if args.endpoint or args.provider else _local(args)


def _local(args: JudgeArguments) -> tuple[str, Ask]:
    source = models.find(args.model)
    loaded = models.load(source)

    def ask(messages: Sequence[list[Message]]) -> list[str]:
        replies = []
        for start in range(0, len(messages), args.batch_size):
            batch = messages[start:][: args.batch_size]
            replies += [c.text for c in complete(loaded, batch, [0] * len(batch), GREEDY)]
        return replies

    return f"{source.repo} at {source.revision[:7]}", ask


def _remote(args: JudgeArguments) -> tuple[str, Ask]:
    client = ChatClient(args.model, args.endpoint, ENDPOINT_KEY, args.provider)

    def ask(messages: Sequence[list[Message]]) -> list[str]:
        return [client.ask(m, max_tokens=REPLY_TOKENS, temperature=0.0).text for m in messages]

    return f"{args.model} at {args.endpoint or args.provider}", ask
