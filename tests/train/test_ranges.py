"""Numbers that cannot work are refused before data are read or a machine is paid for."""

import pytest

from palate.core.errors import UsageError
from palate.reward.config import RewardArguments
from palate.run.jobs import job_named
from palate.train.config import DPOArguments, KTOArguments, RLArguments, SFTArguments
from palate.train.ranges import check_numbers

TRAININGS = (DPOArguments, KTOArguments, RLArguments, SFTArguments, RewardArguments)
WRONG = [
    *(("epochs", n) for n in (0.0, -1.0, float("nan"), float("inf"))),
    *(("learning_rate", n) for n in (0.0, -1e-5, float("nan"), float("inf"))),
    *((name, n) for name in ("batch_size", "accumulate", "max_length") for n in (0, -4)),
    *(("beta", n) for n in (0.0, -0.1, float("nan"))),
    *(("good_weight", n) for n in (0.0, -1.0)),
    *(("flip_rate", n) for n in (-0.1, 0.5, 0.7, float("nan"))),
]


@pytest.mark.parametrize("arguments", TRAININGS, ids=lambda c: c.NAME)
def test_the_numbers_of_every_training_are_checked(arguments):
    known = [(name, n) for name, n in WRONG if name in arguments.__dataclass_fields__]
    assert len(known) >= 14
    check_numbers(arguments("me/titles"))
    for name, number in known:
        with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} {number:g}: expected"):
            check_numbers(arguments("me/titles", **{name: number}))


@pytest.mark.parametrize("name", ["train", "kto", "sft", "reward", "rl"])
def test_they_are_checked_as_the_command_is_read(name):
    job = job_named(name)
    with pytest.raises(UsageError, match="--learning-rate 0: expected more than 0"):
        job.parse(["me/titles", "--learning-rate", "0"])
