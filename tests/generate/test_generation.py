from collections import Counter

import pytest
import tiny_model
import torch

from palate.core.errors import UsageError
from palate.core.schema import Prompt
from palate.generate.generation import (
    FEW,
    OneLine,
    Sampling,
    complete,
    generate,
    groups_of,
    seed_of,
)
from palate.generate.models import Loaded
from palate.generate.sampler import nucleus, sampler

SAMPLING = Sampling(temperature=1.0, max_new_tokens=24)


PROMPTS = [Prompt.of(tiny_model.prompt(i)) for i in range(6)]


@pytest.fixture(scope="module")
def loaded(tiny_folder) -> Loaded:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(tiny_folder)
    return Loaded("me/tiny", "abc", model, tokenizer)


def run(loaded, prompts=PROMPTS, n=3, **options):
    dropped = Counter()
    made = {}
    groups = groups_of(prompts, n, options.get("batch_size", 32))
    for some in generate(loaded, groups, n, [SAMPLING], dropped=dropped, **options):
        made |= some
    return made, dropped


def test_a_completion_does_not_depend_on_what_it_is_batched_with(loaded):
    messages = [p.prompt for p in PROMPTS]
    seeds = list(range(len(messages)))
    together = complete(loaded, messages, seeds, SAMPLING)
    alone = [complete(loaded, [m], [s], SAMPLING)[0] for m, s in zip(messages, seeds, strict=True)]
    assert together == alone
    assert len({c.text for c in together}) > 1


def test_one_line_ends_where_the_line_does(loaded):
    messages, seeds = [p.prompt for p in PROMPTS], list(range(len(PROMPTS)))
    hot = {"temperature": 5.0, "max_new_tokens": 64}
    whole = complete(loaded, messages, seeds, Sampling(**hot))
    lines = complete(loaded, messages, seeds, OneLine(**hot))
    assert [c.text for c in lines] == [c.text.partition("\n")[0].strip() for c in whole]
    assert all(c.ended for c, w in zip(lines, whole, strict=True) if "\n" in w.text)
    assert any("\n" in w.text for w in whole)


def test_each_prompt_gets_n_different_candidates(loaded):
    made, dropped = run(loaded, batch_size=7)
    assert list(made) == sorted(made, key=[p.id for p in sorted(PROMPTS, key=_order)].index)
    for p in PROMPTS:
        texts = [c.text for c in made[p.id]]
        assert len(texts) == len({t.casefold() for t in texts}) == 3, dropped
        assert all(t == t.strip() and t for t in texts)
        assert {(c.model, c.revision, c.prompt_id) for c in made[p.id]} == {
            ("me/tiny", "abc", p.id)
        }


def _order(p):
    return len(p.text), p.id


def test_a_recorded_seed_gives_the_text_again(loaded):
    made, _ = run(loaded, PROMPTS[:1])
    for c in made[PROMPTS[0].id]:
        assert c.sampling is not None
        again = complete(loaded, [PROMPTS[0].prompt], [c.sampling["seed"]], SAMPLING)
        assert again[0].text == c.text
        assert c.sampling == {
            "temperature": 1.0,
            "top_p": 1.0,
            "max_new_tokens": 24,
            "seed": c.sampling["seed"],
        }


def test_an_interrupted_run_ends_like_one_that_was_not(loaded):
    whole, _ = run(loaded)
    first, _ = run(loaded, PROMPTS[:2])
    rest, _ = run(loaded, existing=first)
    assert not set(first) & set(rest)
    assert first | rest == whole


def test_more_completions_are_added_to_the_existing(loaded):
    two, _ = run(loaded, n=2)
    four, dropped = run(loaded, n=4, existing=two)
    for p in PROMPTS:
        texts = [c.text.casefold() for c in two[p.id] + four[p.id]]
        assert len(set(texts)) == len(texts)
        assert len(texts) == 4 or dropped[FEW]


def test_dropped_completions_are_counted(loaded):
    dropped = Counter()
    short = Sampling(max_new_tokens=1)
    made = list(generate(loaded, [PROMPTS[:2]], 2, [short], dropped=dropped))
    assert sum(len(v) for some in made for v in some.values()) == 0
    assert dropped["overlong"] == 2 * 2 * 4  # prompts × candidates × tries
    assert dropped[FEW] == 2


def test_tokens_are_drawn_as_often_as_they_are_likely():
    n = 4000
    scores = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    draw = sampler(0.8, 1.0, 1, range(n))
    share = (draw(None, scores.expand(n, -1)) == 0).double().mean(0)
    assert torch.allclose(share, (scores[0].double() / 0.8).softmax(-1), atol=0.03)


def test_top_p_excludes_unlikely_tokens():
    n = 500
    scores = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().flip(-1)
    draw = sampler(1.0, 0.7, 1, range(n))
    share = (draw(None, scores.expand(n, -1)) == 0).double().mean(0)
    assert share[:2].sum() == 0
    assert share[3].item() == pytest.approx(0.5 / 0.8, abs=0.08)


@pytest.mark.parametrize("spread", [0.0, 0.1, 3.0, 9.0], ids=lambda s: f"spread {s:g}")
def test_the_head_of_a_vocabulary_gives_what_sorting_all_of_it_does(spread):
    torch.manual_seed(0)
    scores = spread * torch.randn(6, 5000)
    scores[3:] = scores[3:].round()  # equal ones, as in low precision
    p = scores.double().softmax(-1)
    values, order = torch.sort(p, dim=-1, descending=True, stable=True)
    expected = values.masked_fill(values.cumsum(-1) - values >= 0.95, 0)
    for head in (50, 1024, 9000):
        found, ids = nucleus(p, 0.95, head)
        n = found.shape[-1]
        assert torch.equal(found, expected[:, :n])
        assert expected[:, n:].sum() == 0
        assert torch.equal(ids[found > 0], order[:, :n][found > 0])
    assert nucleus(p, 0.95, 5000)[0].shape[-1] == 5000


@pytest.mark.parametrize(
    "wrong", [{"temperature": 0.0}, {"top_p": 0.0}, {"top_p": 1.5}, {"max_new_tokens": 0}]
)
def test_impossible_sampling_is_refused(wrong):
    with pytest.raises(UsageError, match="expected temperature > 0"):
        Sampling(**wrong)


def test_seeds_differ_by_prompt_and_number():
    seeds = {seed_of(s, p.id, i) for s in (0, 1) for p in PROMPTS for i in range(50)}
    assert len(seeds) == 2 * len(PROMPTS) * 50
    assert all(0 <= s < 2**32 for s in seeds)
