"""Recorded pairs of video titles: rows for TRL, and a tokenizer for them."""

from pathlib import Path
from typing import Any

from palate.collect.columns import Columns

DATA = Path(__file__).parents[3] / "shared/data/youtube-titles/idea-title_pairs-preferences.csv"
COLUMNS = Columns("idea", "title_a", "title_b", "title_b_preferred")
PROMPT = (
    "Given the YouTube video idea write an engaging title.\n\n**Video Idea**: {idea}\n\n"
    "**Additional Guidance**:\n- Title should be between 30 and 75 characters long\n"
    "- Only return the title idea, nothing else!"
)
SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
VOCABULARY = 16_384


def read(file: Path, prompt: str = PROMPT, system: str | None = SYSTEM) -> list[dict[str, Any]]:
    """Return the pairs as TRL's rows, those of a prompt together."""
    from palate.collect import labels, pairs, tables
    from palate.collect.columns import template_of

    table = tables.read(str(file))
    imported = labels.labels_of(pairs.read(table, COLUMNS, template_of(prompt, table)))
    prompts = {p.id: p.prompt for p in imported.prompts}
    texts = {c.id: c.text for c in imported.candidates}
    preferences = [(e.prompt_id, *s) for e in imported.events for s in e.statements() if s[2]]
    first = [{"role": "system", "content": system}] if system else []
    order = {prompt_id: i for i, prompt_id in enumerate(prompts)}
    return [
        {
            "prompt": [*first, *prompts[prompt_id]],
            "chosen": [{"role": "assistant", "content": texts[better]}],
            "rejected": [{"role": "assistant", "content": texts[worse]}],
        }
        for prompt_id, better, worse, _ in sorted(preferences, key=lambda p: order[p[0]])
    ]


def make_tokenizer(rows: list[dict[str, Any]]) -> Any:
    """Return a byte-level BPE with Qwen's rule for words, learned from the rows and our titles."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    from palate.demo import writer
    from palate.demo.titles import titles

    bpe = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(writer.WORDS), "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([split, level])
    bpe.decoder = decoders.ByteLevel()
    texts = [m["content"] for row in rows for part in row.values() for m in part]
    texts += [title for _, title in titles()]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[writer.PAD, writer.START, writer.END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token=writer.END, pad_token=writer.PAD
    )
    tokenizer.chat_template = writer.CHAT
    return tokenizer
