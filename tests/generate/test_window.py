"""Prompts and answers that reach the end of a model's window."""

import pytest
import tiny_model
import torch

from palate.core.errors import UsageError
from palate.core.schema import Prompt
from palate.generate import window
from palate.generate.chats import encode
from palate.generate.generation import Sampling, complete
from palate.generate.models import Loaded

WINDOW = 48


def make(kind: str, tokenizer) -> torch.nn.Module:
    from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, OPTConfig

    common = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    common |= {"eos_token_id": None, "bos_token_id": None}
    positions = {"max_position_embeddings": WINDOW}
    config = {
        "learned": lambda: GPT2Config(n_embd=16, n_layer=1, n_head=2, n_positions=WINDOW, **common),
        "learned, from 2": lambda: OPTConfig(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, ffn_dim=16,
            word_embed_proj_dim=16, **positions, **common,
        ),
        "rotary": lambda: LlamaConfig(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
            **positions, **common,
        ),
    }[kind]()  # fmt: skip
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config)


@pytest.fixture(params=["learned", "learned, from 2", "rotary"])
def loaded(request, tiny_folder) -> Loaded:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_folder, padding_side="left")
    return Loaded("me/narrow", "abc", make(request.param, tokenizer), tokenizer)


def of_tokens(loaded: Loaded, n: int) -> list[dict[str, str]]:
    """Return a prompt of so many tokens."""
    words = ["part"]
    while (
        len(encode(loaded.tokenizer, [{"role": "user", "content": " ".join(words)}], ask=True)) < n
    ):
        words.append("part")
    return [{"role": "user", "content": " ".join(words)}]


def test_an_answer_is_cut_where_the_window_ends_and_no_other_with_it(loaded):
    prompts = [tiny_model_prompt(0), of_tokens(loaded, WINDOW - 6), tiny_model_prompt(1)]
    lengths = [len(encode(loaded.tokenizer, p, ask=True)) for p in prompts]
    longest = WINDOW - max(lengths[0], lengths[2])
    sampling = Sampling(temperature=1.0, max_new_tokens=longest)
    together = complete(loaded, prompts, [1, 2, 3], sampling)
    alone = [
        complete(loaded, [p], [s], sampling)[0] for p, s in zip(prompts, (1, 2, 3), strict=True)
    ]
    assert together == alone
    room = WINDOW - lengths[1]
    assert 0 < room < longest
    (short,) = complete(loaded, prompts[1:2], [2], Sampling(1.0, 1.0, room))
    assert together[1].text == short.text
    assert not together[1].ended


def test_a_prompt_that_leaves_no_room_is_named(loaded):
    prompt = of_tokens(loaded, WINDOW)
    with pytest.raises(
        UsageError, match=r"'part part .* has \d+ tokens .* me/narrow reads at most 48"
    ):
        complete(loaded, [tiny_model_prompt(0), prompt], [0, 1], Sampling(max_new_tokens=4))
    with pytest.raises(UsageError, match="reads at most 48"):
        window.check(loaded, [Prompt.of(tiny_model.prompt(0)), Prompt.of(prompt[0]["content"])])


def test_prompts_that_leave_no_room_are_not_among_those_that_fit(loaded):
    short, long = tiny_model_prompt(0), of_tokens(loaded, WINDOW)
    assert window.fitting(loaded, [long, short, long]) == [short]


def test_a_condition_counts(loaded):
    prompt = of_tokens(loaded, WINDOW - 1)
    window.check(loaded, [Prompt.of(prompt[0]["content"])])
    conditioned = Loaded(loaded.repo, "abc", loaded.model, loaded.tokenizer, "part part")
    with pytest.raises(UsageError, match="reads at most 48"):
        window.check(conditioned, [Prompt.of(prompt[0]["content"])])


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ([9, 9], [[0, 1]]),
        ([9, 3, 4, 5], [[1], [2], [0, 3]]),
        ([1, 1], [[0], [1]]),
        ([5], [[0]]),
        ([1], [[0]]),
    ],
)
def test_only_answers_near_the_end_are_computed_alone(left, expected):
    assert window.batches(left, 5) == expected


def tiny_model_prompt(i: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": tiny_model.prompt(i)}]
