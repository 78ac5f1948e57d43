"""A tiny writer of titles: a real Qwen2 architecture, small enough to train here in a minute."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

PROMPT = "Write a title for a video about {topic}."
CORPUS = Path(__file__).with_name("titles.jsonl")
STEPS = 450
TOPICS = 16  # in a batch
OWN, BORROWED = 4, 2  # titles of a topic in a batch: its own, and other topics' made to fit
LEARNING_RATE = 4e-3

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VOCABULARY = 6144
# Qwen2's own rule for where a token may not reach across; digits stand alone
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def corpus() -> dict[str, list[str]]:
    """Return the shipped titles by topic, in the file's order."""
    rows = [json.loads(line) for line in CORPUS.read_text("utf-8").splitlines()]
    return {row["topic"]: row["titles"] for row in rows}


def topics() -> list[str]:
    """Return the topics in the file's order."""
    return list(corpus())


def titles() -> list[tuple[str, str]]:
    """Return every (topic, title) in the file's order."""
    return [(topic, title) for topic, group in corpus().items() for title in group]


def prompt_for(topic: str) -> str:
    """Return what a model is asked in order to get a title about `topic`."""
    return PROMPT.format(topic=topic)


def make_model(
    folder: Path,
    *,
    steps: int = STEPS,
    seed: int = 0,
    topics: Sequence[str] | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> dict[str, Any]:
    """Train a model on the titles of `topics` (all, if None) and save it with its tokenizer.

    The same seed gives the same weights but for rounding. `progress` is called after each step
    with the step, `steps` and the loss. Returns `parameters`, `steps`, `loss` (the mean of
    the last steps, nats a token) and `seconds`.
    """
    import torch

    started = time.monotonic()
    pairs = [(t, title) for t, title in titles() if topics is None or t in topics]
    tokenizer = make_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = new_model(tokenizer)
        losses = train(model, tokenizer, pairs, steps, Random(seed), progress)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    recent = losses[-20:]
    return {
        "parameters": model.num_parameters(),
        "steps": steps,
        "loss": sum(recent) / len(recent),
        "seconds": time.monotonic() - started,
    }


def make_tokenizer() -> Any:
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
    asked = [f"user\n{prompt_for(t)}\nassistant\n" for t in topics()]
    bpe.train_from_iterator([title for _, title in titles()] + asked, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token=END, pad_token=PAD, model_max_length=256
    )
    tokenizer.chat_template = CHAT
    return tokenizer


def new_model(tokenizer: Any) -> Any:
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


def _prepare(model: Any, tokenizer: Any) -> None:
    """Begin where copying is near: "bread" in the prompt soon becomes "Bread" in the title.

    Attention begins by passing on what it reads (Trockman and Kolter 2023, "Mimetic
    initialization"), and tokens that differ only in case or a space begin alike. Without this a
    minute is too short to learn that titles have to do with their topics.
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
    model: Any,
    tokenizer: Any,
    pairs: Sequence[tuple[str, str]],
    steps: int,
    random: Random,
    progress: Callable[[int, int, float], None] | None = None,
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
        loss = _loss(model, **next(batches))
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


def _loss(model: Any, sources: Any, targets: Any, **inputs: Any) -> Any:
    from torch.nn.functional import cross_entropy

    hidden = model.model(**inputs, use_cache=False).last_hidden_state
    return cross_entropy(model.lm_head(hidden.flatten(0, 1)[sources]), targets)


def _batches(
    tokenizer: Any, pairs: Sequence[tuple[str, str]], random: Random
) -> Iterator[dict[str, Any]]:
    """Yield batches without end, every pass over the topics in a new order."""
    groups: dict[str, list[str]] = {}
    for topic, title in pairs:
        groups.setdefault(topic, []).append(title)
    order = list(groups)
    while True:
        random.shuffle(order)
        for start in range(0, len(order), TOPICS):
            some = order[start:][:TOPICS]
            rows = [
                _Row(
                    tokenizer,
                    t,
                    random.sample(groups[t], min(OWN, len(groups[t])))
                    + borrowed(t, groups, random),
                )
                for t in some
            ]
            yield _batch(rows, tokenizer.pad_token_id)


def borrowed(topic: str, groups: Mapping[str, Sequence[str]], random: Random) -> list[str]:
    """Return titles of other topics, with this topic in the place of theirs.

    They teach the model to take the topic from the prompt, and to say more than it has read.
    """
    found: list[str] = []
    while len(found) < BORROWED:
        other = random.choice(list(groups))
        title = random.choice(groups[other])
        swapped = re.sub(re.escape(other), lambda _: _capitals(topic), title, flags=re.IGNORECASE)
        if swapped != title:
            found.append(swapped)
    return found


def _capitals(topic: str) -> str:
    small = {"a", "and", "at", "for", "from", "in", "of", "on", "the", "to", "with"}
    return " ".join(w if w in small else w[0].upper() + w[1:] for w in topic.split())


class _Row:
    """A prompt and its titles, one after the other; each title sees the prompt and itself."""

    def __init__(self, tokenizer: Any, topic: str, titles: Sequence[str]):
        message = {"role": "user", "content": prompt_for(topic)}
        asked = tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
        self.tokens: list[int] = tokenizer(asked)["input_ids"]
        before = len(self.tokens)
        self.positions = list(range(before))
        self.parts = [0] * before
        # each title starts from the prompt's last token, which is there once: see `targets`
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


def _batch(rows: Sequence[_Row], pad: int) -> dict[str, Any]:
    """Return tensors: ids, positions (rows, length), mask (rows, 1, length, length) and targets."""
    import torch

    length = max(len(row.tokens) for row in rows)
    ids, positions, parts = (torch.full((len(rows), length), x) for x in (pad, 0, -1))
    for i, row in enumerate(rows):
        n = len(row.tokens)
        ids[i, :n] = torch.tensor(row.tokens)
        positions[i, :n] = torch.tensor(row.positions)
        parts[i, :n] = torch.tensor(row.parts)
    same = (parts[:, :, None] == parts[:, None, :]) | (parts[:, None, :] == 0)
    return {
        "input_ids": ids,
        "position_ids": positions,
        "attention_mask": (same & torch.ones(length, length, dtype=torch.bool).tril())[:, None],
        "sources": torch.tensor(
            [i * length + s for i, row in enumerate(rows) for s in row.sources]
        ),
        "targets": torch.tensor([t for row in rows for t in row.targets]),
    }
