"""A tiny writer of titles: the Qwen2 architecture, small enough to train here in a minute."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from palate.demo.titles import prompt_for, titles, topics

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

STEPS = 450
TOPICS_PER_BATCH = 16
OWN_TITLES, BORROWED_TITLES = 4, 2  # of a topic in a batch; borrowed: other topics', adapted
LEARNING_RATE = 4e-3
LOSS_WINDOW = 20  # steps whose mean is the final loss

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VOCABULARY = 6144
# Qwen2's pattern for where tokens end; every digit is a token
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


Progress = Callable[[int, int, float], None]  # step, steps, loss


@dataclass(frozen=True)
class Training:
    """The size, the duration and the final loss of a training."""

    parameters: int
    steps: int
    loss: float  # nats per token, the mean of the last steps
    seconds: float


def make_model(
    folder: Path,
    *,
    steps: int = STEPS,
    seed: int = 0,
    only_topics: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Training:
    """Train a model on the titles of some topics (None: all) and save it with its tokenizer.

    The same seed gives the same weights up to rounding. `progress` is called after each step.
    """
    import torch

    started = time.monotonic()
    pairs = [(t, title) for t, title in titles() if only_topics is None or t in only_topics]
    tokenizer = make_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = new_model(tokenizer)
        losses = train(model, tokenizer, pairs, steps, Random(seed), progress)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    last = losses[-LOSS_WINDOW:]
    seconds = time.monotonic() - started
    return Training(model.num_parameters(), steps, sum(last) / len(last), seconds)


def make_tokenizer() -> "PreTrainedTokenizerFast":
    """Return a byte-level BPE of the titles and prompts, with Qwen's special tokens and ChatML."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    prompts = [f"user\n{prompt_for(topic)}\nassistant\n" for topic in topics()]
    bpe.train_from_iterator([title for _, title in titles()] + prompts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token=END, pad_token=PAD, model_max_length=256
    )
    tokenizer.chat_template = CHAT
    return tokenizer


def new_model(tokenizer: "PreTrainedTokenizerFast") -> "Qwen2ForCausalLM":
    """Return an untrained Qwen2 that fits the tokenizer."""
    from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=None,
        **ends,
    )
    model = Qwen2ForCausalLM(config)
    _prepare(model, tokenizer)
    model.generation_config = GenerationConfig(do_sample=True, max_new_tokens=48, **ends)
    return model


def _prepare(model: Any, tokenizer: "PreTrainedTokenizerFast") -> None:
    """Initialise the weights so that the model soon copies words from the prompt into the title.

    Attention starts by passing on what it reads (Trockman and Kolter 2023, "Mimetic
    initialization"), and tokens that differ only in case or a space start almost equal. Otherwise
    a minute is too short to learn that a title is about its topic.
    """
    import torch

    embedding = model.get_input_embeddings().weight
    first: dict[str, int] = {}
    with torch.no_grad():
        for layer in model.model.layers:
            torch.nn.init.eye_(layer.self_attn.v_proj.weight)
            torch.nn.init.eye_(layer.self_attn.o_proj.weight)
        for token, i in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]):
            j = first.setdefault(token.lstrip("Ġ").casefold(), i)
            if i != j:
                embedding[i] = embedding[j] + 0.2 * embedding[i]


def train(
    model: "Qwen2ForCausalLM",
    tokenizer: "PreTrainedTokenizerFast",
    pairs: Sequence[tuple[str, str]],
    steps: int,
    random: Random,
    progress: Progress | None = None,
) -> list[float]:
    """Train with AdamW and a cosine schedule on the titles' tokens; return the losses."""
    import torch

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.1
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=steps + 1, pct_start=0.1, cycle_momentum=False
    )
    losses: list[float] = []
    batches = _batches(tokenizer, pairs, random)
    model.train()
    for step in range(1, steps + 1):
        loss = _loss(model, next(batches))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        losses.append(loss.item())
        if progress:
            progress(step, steps, losses[-1])
    model.eval()
    return losses


def _loss(model: "Qwen2ForCausalLM", batch: "_Batch") -> "Tensor":
    from torch.nn.functional import cross_entropy

    hidden = model.model(**batch.inputs, use_cache=False).last_hidden_state
    return cross_entropy(model.lm_head(hidden.flatten(0, 1)[batch.sources]), batch.targets)


def _batches(
    tokenizer: "PreTrainedTokenizerFast", pairs: Sequence[tuple[str, str]], random: Random
) -> Iterator["_Batch"]:
    """Yield batches without end; each pass over the topics is in a new order."""
    groups: dict[str, list[str]] = {}
    for topic, title in pairs:
        groups.setdefault(topic, []).append(title)
    order = list(groups)
    while True:
        random.shuffle(order)
        for start in range(0, len(order), TOPICS_PER_BATCH):
            rows = []
            for topic in order[start:][:TOPICS_PER_BATCH]:
                own = random.sample(groups[topic], min(OWN_TITLES, len(groups[topic])))
                rows.append(_Row(tokenizer, topic, own + borrowed(topic, groups, random)))
            yield _batch(rows, tokenizer.pad_token_id)


def borrowed(topic: str, groups: Mapping[str, Sequence[str]], random: Random) -> list[str]:
    """Return titles of other topics, with this topic in place of theirs.

    They teach the model to take the topic from the prompt, and to write titles it has not seen.
    """
    borrowed_titles: list[str] = []
    while len(borrowed_titles) < BORROWED_TITLES:
        other = random.choice(list(groups))
        title = random.choice(groups[other])
        swapped = re.sub(re.escape(other), lambda _: _capitals(topic), title, flags=re.IGNORECASE)
        if swapped != title:
            borrowed_titles.append(swapped)
    return borrowed_titles


def _capitals(topic: str) -> str:
    """Return the topic as titles write it: words capitalised, but for the smallest ones."""
    small = {"a", "and", "at", "for", "from", "in", "of", "on", "the", "to", "with"}
    return " ".join(w if w in small else w[0].upper() + w[1:] for w in topic.split())


class _Row:
    """A prompt and its titles in one sequence; each title sees only the prompt and itself."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", topic: str, titles: Sequence[str]):
        message = {"role": "user", "content": prompt_for(topic)}
        text = tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
        self.tokens: list[int] = tokenizer(text)["input_ids"]
        before = len(self.tokens)
        self.positions = list(range(before))
        self.parts = [0] * before
        # every title is predicted from the prompt's last token, which occurs only once
        self.sources: list[int] = []
        self.targets: list[int] = []
        for number, title in enumerate(titles, 1):
            tokens = tokenizer(title + END)["input_ids"]
            here = len(self.tokens)
            self.sources += [before - 1, *range(here, here + len(tokens) - 1)]
            self.targets += tokens
            self.tokens += tokens[:-1]
            self.positions += range(before, before + len(tokens) - 1)
            self.parts += [number] * (len(tokens) - 1)


@dataclass(frozen=True)
class _Batch:
    """Rows as tensors: ids and positions (rows, length), and the mask (rows, 1, length, length)."""

    inputs: "dict[str, Tensor]"
    sources: "Tensor"  # flat indices to predict from
    targets: "Tensor"  # tokens to predict there


def _batch(rows: Sequence[_Row], pad: int) -> _Batch:
    import torch

    length = max(len(row.tokens) for row in rows)
    ids, positions, parts = (torch.full((len(rows), length), x) for x in (pad, 0, -1))
    for i, row in enumerate(rows):
        n = len(row.tokens)
        ids[i, :n] = torch.tensor(row.tokens)
        positions[i, :n] = torch.tensor(row.positions)
        parts[i, :n] = torch.tensor(row.parts)
    same = (parts[:, :, None] == parts[:, None, :]) | (parts[:, None, :] == 0)
    mask = (same & torch.ones(length, length, dtype=torch.bool).tril())[:, None]
    sources = [i * length + s for i, row in enumerate(rows) for s in row.sources]
    targets = [token for row in rows for token in row.targets]
    return _Batch(
        {"input_ids": ids, "position_ids": positions, "attention_mask": mask},
        torch.tensor(sources),
        torch.tensor(targets),
    )
