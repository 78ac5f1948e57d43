"""A rule of the user's leaves completions out, each for a reason that is counted."""

import subprocess
import sys
from collections import Counter

import pytest

from palate.core.errors import UsageError
from palate.core.schema import Prompt
from palate.generate import rules
from palate.generate.generation import Completion, Sampling, generate
from palate.generate.models import Loaded

FILE = """
def few(prompt, text):
    return len(text.split()) < 4 or "four words\\n or more"

def no(prompt, text):
    return prompt not in text

def odd(prompt, text):
    return None

def fails(prompt, text):
    return 1 / 0
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my.py"
    path.write_text(FILE)
    return path


def test_a_rule_keeps_or_says_why(file):
    few, no = rules.load(f"{file}:few"), rules.load(f"{file}:no")
    assert few("Tea", "one two three") is None
    assert few("Tea", "one two three four") == "four words or more"
    assert no("Tea", "Coffee") is None
    assert no("Tea", "Tea") == f"by {file}:no"
    with pytest.raises(UsageError, match="returned None; expected True, False or a reason"):
        rules.load(f"{file}:odd")("Tea", "Tea")
    with pytest.raises(UsageError, match="fails on 'Tea': ZeroDivisionError"):
        rules.load(f"{file}:fails")("Tea", "Tea")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("my.py", "expected FILE.py:FUNCTION"),
        ("my.txt:few", "expected FILE.py:FUNCTION"),
        ("{folder}/none.py:few", "there is no file"),
        ("{folder}/my.py:many", "has no function 'many'"),
        ("{folder}/bad.py:few", "cannot be loaded: SyntaxError"),
    ],
)
def test_what_is_no_rule_is_wrong_usage(file, name, says):
    (file.parent / "bad.py").write_text("def")
    with pytest.raises(UsageError, match=says):
        rules.load(name.format(folder=file.parent))


def test_another_content_is_another_rule(file):
    before = rules.fingerprint(f"{file}:few")
    assert before == rules.fingerprint(f"{file}:few") != rules.fingerprint(f"{file}:no")
    file.write_text(FILE.replace("4", "5"))
    assert rules.fingerprint(f"{file}:few") != before


def test_completions_take_the_temperatures_in_turn_and_the_rule_is_counted(file):
    drawn = []

    def write(loaded, prompts, seeds, sampling):
        drawn.append((sampling.temperature, len(seeds)))
        return [Completion(f"text {s}" if s % 2 else "one two three four", True) for s in seeds]

    dropped: Counter[str] = Counter()
    prompts = [Prompt.of(f"Tea {n}") for n in range(8)]
    (made,) = generate(
        Loaded("a/b", "r", None, None),
        [prompts],
        4,
        Sampling.mix([0.7, 1.0], 1.0, 32),
        dropped=dropped,
        write=write,
        rule=rules.load(f"{file}:few"),
    )
    assert drawn[:2] == [(0.7, 16), (1.0, 16)]
    rows = [c for of_prompt in made.values() for c in of_prompt]
    assert dropped["four words or more"] > 0
    assert all(c.text.startswith("text") for c in rows)
    mix = Counter(c.sampling["temperature"] for c in rows)
    assert set(mix) == {0.7, 1.0}
    assert min(mix.values()) > len(rows) / 5


def test_a_rule_goes_to_no_other_machine(file):
    for where in ("hf", "slurm"):
        words = ["candidates", "me/none", "--rule", f"{file}:few", "--on", where]
        run = subprocess.run(
            [sys.executable, "-m", "palate", *words], capture_output=True, text=True
        )
        assert run.returncode == 2
        assert "--rule runs code of yours, on this machine alone. Leave out --on." in run.stderr
