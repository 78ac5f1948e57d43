"""What a job is said to take: which machine, how long, how dear."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.core.errors import UsageError
from palate.run import forecast
from palate.run.forecast import Flavor, choose

CPU = Flavor("cpu-upgrade", 0, None, 8, 32e9, 0.03)
L4 = Flavor("l4x1", 1, "L4", 8, 24e9, 0.8)
A100 = Flavor("a100-large", 1, "A100", 12, 80e9, 2.5)
FOUR = Flavor("a100x4", 4, "A100", 48, 80e9, 0.01)
ALL = (CPU, L4, A100, FOUR)
PAIRS = [(f"{i}" + "a" * 300, f"{i}" + "b" * 60, f"{i}" + "c" * 60) for i in range(1000)]


def arguments(**given) -> SimpleNamespace:
    usual = {"method": None, "recipe": None, "learning_rate": None, "beta": 0.1, "epochs": 3.0}
    return SimpleNamespace(**usual | {"processes": 1, "accelerate": "ddp", "ai": False} | given)


def training(parameters: float, **given) -> forecast.Load:
    return forecast.training(arguments(**given), int(parameters), PAIRS)


@pytest.mark.parametrize(
    ("parameters", "given", "machine"),
    [
        (1e5, {}, "cpu-upgrade"),
        (0.5e9, {}, "l4x1"),
        (1.5e9, {}, "a100-large"),
        (1.5e9, {"method": "lora"}, "l4x1"),
        (7e9, {}, "a100-large"),
    ],
)
def test_the_machine_has_the_best_value(parameters, given, machine):
    assert choose(ALL, training(parameters, **given)).name == machine


def test_a_job_that_fits_no_machine_says_what_it_needs():
    with pytest.raises(UsageError, match=r"about 260 GB of GPU memory.*largest single GPU is A100"):
        choose(ALL, training(70e9))
    assert choose(ALL, training(70e9), "a100x4") is FOUR
    with pytest.raises(UsageError, match="no flavor 'a10'; expected one of cpu-upgrade, l4x1"):
        choose(ALL, training(1e5), "a10")


def test_several_gpus_are_looked_for_on_one_machine():
    two = Flavor("a100x2", 2, "A100", 24, 80e9, 5.0)
    four = Flavor("a100x4", 4, "A100", 48, 80e9, 10.0)
    flavors = [*ALL[:-1], two, four]
    whole = training(7e9, processes=2)
    assert choose(flavors, whole) is two
    assert whole.what.endswith("on 2 GPUs")
    assert whole.seconds(two) < training(7e9).seconds(A100)
    with pytest.raises(UsageError, match=r"371 GB of GPU memory on each.*with 4 GPUs is 4 × A100"):
        choose(flavors, training(100e9, processes=4))
    parted = training(12e9, processes=4, method="full", accelerate="fsdp2")
    assert choose(flavors, parted) is four
    with pytest.raises(UsageError, match="needs 4 GPUs, and a100x2 has 2"):
        choose(flavors, parted, "a100x2")
    with pytest.raises(UsageError, match="There is no flavor with 8 GPUs"):
        choose(flavors, training(7e9, processes=8))
    spread = forecast.writing(100, 32, 256, int(70e9), gpus=4)
    assert choose(flavors, spread) is four
    assert choose(flavors, spread, "cpu-upgrade") is CPU


def test_sft_counts_prompts_and_needs_no_reference():
    row = ("p" * 360, "a" * 360)  # a hundred tokens each, with what the template adds
    load = forecast.imitating(arguments(epochs=2.0), 1000, [row, row])
    assert load.operations == 1000 * 400 * 6 * 2
    assert load.what == "full training on about 800 tokens"
    assert load.gpu_memory == forecast.training(arguments(), 1000, PAIRS).gpu_memory


def test_shared_prompts_are_counted_once():
    one = forecast.training(arguments(), 1000, [("p" * 400, "a", "b")])
    two = forecast.training(arguments(), 1000, [("p" * 400, "a", "b"), ("p" * 400, "b", "a")])
    assert one == two


@given(st.floats(1e5, 1e10), st.integers(1, 8))
def test_more_work_takes_longer(parameters, times):
    some, more = training(parameters), training(times * parameters, method="lora")
    if times > 1:
        assert more.operations > some.operations
    for flavor in ALL:
        texts = [forecast.writing(n, 32, 256, int(parameters)) for n in (100, 100 * times)]
        assert texts[0].seconds(flavor) <= texts[1].seconds(flavor)
        longer = training(parameters, epochs=3.0 * times)
        assert longer.seconds(flavor) >= some.seconds(flavor)


def test_a_search_for_the_recipe_is_counted_where_it_is_made():
    shared = [
        (f"{i // 10}" + "a" * 3000, f"{i}" + "b" * 60, f"{i}" + "c" * 60) for i in range(1000)
    ]

    def operations(pairs: list, **given) -> float:
        return forecast.training(arguments(**given), 10**8, pairs).operations

    assert operations(shared) > 4 * operations(shared, recipe="fast")
    assert operations(PAIRS) == operations(PAIRS, recipe="fast")  # nothing is shared
    assert operations(PAIRS, recipe="search") > 2 * operations(PAIRS)


def test_checkpoints_are_kept_where_they_cost_less_than_starting_over():
    assert training(1e5).keeps_checkpoints(CPU)
    assert not training(0.5e9).keeps_checkpoints(L4)
    assert training(7e9).keeps_checkpoints(L4)


def test_a_job_that_only_asks_a_server_takes_the_cheapest_machine():
    assert choose(ALL, forecast.asking()) is CPU


def test_a_timeout_leaves_room():
    assert forecast.timeout(60) == 1800
    assert forecast.timeout(7200) == 18000


def test_the_hubs_list_of_machines_is_read():
    from huggingface_hub import JobHardwareInfo

    from palate.localhub.hardware import FLAVORS, listing

    found = {f.name: f for f in (Flavor.of(JobHardwareInfo(**d)) for d in listing())}
    assert found["l4x4"] == Flavor("l4x4", 4, "L4", 48, 24e9, pytest.approx(3.8, abs=1e-3))
    assert found["cpu-basic"].gpu is None
    assert {f.gpu for f in found.values() if f.gpu} == set(forecast.GPUS)
    for name, flavor in found.items():
        assert flavor.price == pytest.approx(FLAVORS[name]["dollars_an_hour"], abs=1e-3)


@pytest.mark.parametrize(
    ("seconds", "says"), [(40, "40 s"), (300, "5 min"), (12000, "3 h 20 min"), (3599, "1 h 0 min")]
)
def test_durations_in_words(seconds, says):
    assert forecast.duration(seconds) == says


def test_money_in_words():
    assert [forecast.money(d) for d in (0, 0.004, 0.125, 3)] == [
        "$0.00",
        "<$0.01",
        "$0.12",
        "$3.00",
    ]
