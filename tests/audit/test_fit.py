"""What an audit says of a model's tokenizer and chat template."""

from dataclasses import dataclass
from typing import Any

import pytest

from palate.audit import findings, fit, json_report, measure
from palate.collect import pairs
from palate.collect.columns import Columns
from palate.collect.tables import Table
from palate.generate.models import Peek

CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def peek(template: str | None, parameters: int = 494_000_000) -> Peek:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {c: i for i, c in enumerate(["<end>", *letters])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", pad_token="<end>")
    tokenizer.chat_template = template
    return Peek("me/base", "a" * 40, tokenizer, parameters, 2048)


def audit(given: list[tuple[str, str, str]], model: Peek, max_length: int = 1024) -> Any:
    made = [{"prompt": p, "chosen": c, "rejected": r} for p, c, r in given]
    table = Table("x.jsonl", ("prompt", "chosen", "rejected"), made, list(range(1, len(made) + 1)))
    read = pairs.read(table, Columns())
    result = measure.measure(read, learn=False)
    result.fit = fit.fit(read.rows, model, max_length)
    return result


def found(result: Any, words: str) -> list[findings.Finding]:
    return [f for f in findings.findings(result) if words in f.text]


ROWS = [("ask", "good", "worse"), ("ask", "good", "bad"), ("other", "yes", "no")]


def test_lengths_and_positions_count_each_prompt_and_completion_once():
    result = audit(ROWS, peek(CHAT))
    # every byte is a token: <|user|> 8, <|assistant|> 13, the end 1
    ask, other = 8 + 3 + 1 + 13, 8 + 5 + 1 + 13
    assert result.fit.tokens["prompt_longest"] == other
    assert result.fit.tokens["completion_longest"] == len("worse") + 1
    tree = ask + other + sum(len(t) + 1 for t in ("good", "worse", "bad", "yes", "no"))
    assert result.fit.positions == {"tree": tree, "trl": 2 * 3 * (ask + len("worse") + 1)}
    assert found(result, f"An epoch is {tree} token positions")
    assert not found(result, "longer than")
    assert not found(result, "changes")


def test_rows_longer_than_allowed_are_named():
    result = audit([*ROWS, ("long " * 20, "a", "b")], peek(CHAT), max_length=60)
    (finding,) = found(result, "longer than 60 tokens")
    assert finding.level == "warning"
    assert "row 4" in finding.text
    (finding,) = found(audit(ROWS, peek(CHAT), max_length=10), "longer than 10 tokens")
    assert finding.level == "fatal"


def test_a_template_that_changes_prompts_or_never_ends_is_found():
    shouting = CHAT.replace("m['content']", "m['content'] | trim | replace('ask', 'ASK')")
    (finding,) = found(audit(ROWS, peek(shouting)), "changes 2 prompts")
    assert "rows 1, 2" in finding.text
    endless = audit(ROWS, peek(CHAT.replace("<end>", "<|over|>")))
    assert found(endless, "does not end an answer with the EOS token")


def test_a_model_without_a_chat_template_is_fatal():
    result = audit(ROWS, peek(None))
    (finding,) = found(result, "has no chat template")
    assert finding.level == "fatal"
    assert json_report.to_json(result, [finding])["tokens"]["problem"]


def test_the_cost_follows_positions_and_parameters():
    @dataclass
    class Known:
        parameters = 500_000_000
        positions = {"tree": 16_392, "trl": 231_024}  # noqa: RUF012

    spent = fit.cost(Known(), 3.0)  # ty: ignore
    assert spent["operations"] == pytest.approx(500e6 * 16_392 * 20)
    assert spent["a10g_minutes"] == pytest.approx(spent["operations"] / 37.5e12 / 60)
