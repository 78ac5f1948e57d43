"""Numbers that no job can work with are refused where the command line is read."""

import pytest

from palate.core.errors import UsageError
from palate.run.jobs import JOBS
from palate.terminal.flags import COUNTS, SEEDS, parse

WRONG = [*((name, n) for name in COUNTS for n in (0, -3)), ("seed", -1), ("seed", SEEDS)]


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_every_job_refuses_a_number_that_would_fail_or_do_nothing(job):
    """A batch of -3 answers nothing, and `palate check` would have found no loss in nothing."""
    for name, value in WRONG:
        if name in job.arguments.__dataclass_fields__:
            flag = f"--{name.replace('_', '-')}"
            model = ["--model", "me/base"] if job.name == "judge" else []
            words = ["me/titles", *model, flag, str(value)]
            with pytest.raises(UsageError, match=f"{flag} {value}: expected"):
                parse(job.arguments, words, f"palate {job.name}")
