"""The numbers among a training's arguments, and which of them can work."""

import math

from palate.core.errors import UsageError
from palate.train.config import TrainArguments

POSITIVE = (
    *("learning_rate", "epochs", "batch_size", "accumulate", "max_length", "beta"),
    *("good_weight", "bad_weight"),
)


def check_numbers(args: TrainArguments) -> None:
    """Raise UsageError for a number that cannot work: 0 would be taken for a default."""
    for name in POSITIVE:
        value = getattr(args, name, None)
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"--{name.replace('_', '-')} {value:g}: expected more than 0.")
    rate = getattr(args, "flip_rate", None)
    if rate is not None and not 0 <= rate < 0.5:
        raise UsageError(
            f"--flip-rate {rate:g}: expected a share from 0 to less than 0.5. Labels that are wrong"
            " as often as right teach nothing."
        )
