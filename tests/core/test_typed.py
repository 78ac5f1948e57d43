"""Stored dataclasses are read by their annotations, and say what is wrong by its path."""

from dataclasses import asdict, dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.core.errors import BadInput, PalateError
from palate.core.typed import read, version_of


@dataclass(frozen=True)
class Part:
    rate: float
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Whole:
    name: str
    level: Literal["low", "high"]
    parts: list[Part]
    counts: dict[str, tuple[int, ...]]
    exact: bool = False
    value: int | str | None = None


GOOD = {
    "name": "x",
    "level": "low",
    "parts": [{"rate": 1, "bounds": [0.5, 2]}],
    "counts": {"a": [1, 2]},
}


def test_nested_types_are_made_and_defaults_filled_in():
    whole = read(Whole, GOOD | {"unknown": 1}, "x.json")
    assert whole == Whole("x", "low", [Part(1, (0.5, 2))], {"a": (1, 2)})
    assert read(Whole, GOOD | {"value": "text", "exact": True}, "x.json").value == "text"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, r"x.json, field 'name': expected str, found null"),
        ({"level": "middle"}, "field 'level': expected 'low' or 'high', found \"middle\""),
        ({"parts": [{}]}, r"field 'parts\[0\].rate': is missing"),
        ({"parts": [{"rate": True}]}, r"field 'parts\[0\].rate': expected float, found true"),
        ({"parts": [{"rate": 1, "bounds": [1]}]}, r"bounds\[1\]': is missing"),
        ({"parts": {"rate": 1}}, "field 'parts': expected list"),
        ({"counts": {"a": ["1"]}}, r"field 'counts.a\[0\]': expected int, found \"1\""),
        ({"exact": 1}, "field 'exact': expected bool, found 1"),
        ({"value": 0.5}, "field 'value': expected int or str, found 0.5"),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(change, message):
    with pytest.raises(BadInput, match=message):
        read(Whole, GOOD | change, "x.json")


def test_only_an_object_is_a_record():
    with pytest.raises(BadInput, match="expected an object, found \\[\\]"):
        read(Whole, [], "x.json")


@given(
    st.builds(
        Whole,
        parts=st.lists(st.builds(Part, rate=st.floats(allow_nan=False))),
        counts=st.dictionaries(st.text(), st.lists(st.integers()).map(tuple)),
    )
)
def test_what_is_stored_reads_back(whole: Whole):
    assert read(Whole, asdict(whole), "x.json") == whole


def test_a_newer_version_asks_for_an_upgrade():
    assert version_of({}, 1, "x.json") == 0
    assert version_of({"version": 1}, 1, "x.json") == 1
    with pytest.raises(PalateError, match=r"x.json has version 2.*pip install --upgrade palate"):
        version_of({"version": 2}, 1, "x.json")
    with pytest.raises(BadInput, match="expected a number"):
        version_of({"version": "2"}, 1, "x.json")
