"""Ask a judge: a model that runs here, or one over the network."""

from collections.abc import Callable, Iterator, Sequence

from palate.core.errors import UsageError
from palate.core.schema import Message
from palate.evaluate.config import JudgeArguments
from palate.generate import engines, models
from palate.generate.generation import Completion, Sampling, complete
from palate.generate.openai import ChatClient

REPLY_TOKENS = 6  # for "A", "B" or "tie"
SECOND_TOKENS = 512  # for a model that reasons first, when it is asked again

# messages and the tokens for each reply → the replies, as they come
Ask = Callable[[Sequence[list[Message]], int], Iterator[Completion]]


def check(args: JudgeArguments) -> None:
    """Raise UsageError for an engine that no judge has, and for two tasks at once."""
    if args.labels and args.principles:
        raise UsageError("--labels and --principles are two tasks. Give one of them.")
    engines.check(args.engine, 1)
    if args.engine == "vllm":
        raise UsageError("A judge runs with transformers, or on a server: --engine http://…/v1")


def judge_of(args: JudgeArguments) -> tuple[str, Ask]:
    """Return the judge's name, and a function that returns its replies to some messages."""
    return _remote(args) if engines.is_remote(args.model, args.engine) else _local(args)


def _local(args: JudgeArguments) -> tuple[str, Ask]:
    source = models.find(args.model)
    loaded = models.load(source)

    def ask(messages: Sequence[list[Message]], tokens: int) -> Iterator[Completion]:
        greedy = Sampling(temperature=1e-4, max_new_tokens=tokens)
        for start in range(0, len(messages), args.batch_size):
            batch = messages[start:][: args.batch_size]
            yield from complete(loaded, batch, [0] * len(batch), greedy)

    return f"{source.repo} at {source.revision[:7]}", ask


def _remote(args: JudgeArguments) -> tuple[str, Ask]:
    client = ChatClient(args.model, args.engine)
    if args.engine == "transformers" and (provided := engines.provider_of(args.model)):
        client = ChatClient(provided[1], provider=provided[0])

    def ask(messages: Sequence[list[Message]], tokens: int) -> Iterator[Completion]:
        for message in messages:
            yield client.ask(message, max_tokens=tokens, temperature=0.0)

    return f"{client.model} at {client.address or client.provider}", ask
