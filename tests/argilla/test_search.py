"""Argilla's search, which our engine answers, on SQLite and on PostgreSQL."""

import json
import unicodedata
import urllib.request

import pytest
from argilla_ui import dataset_id
from samples import PAIRS, ROWS, event

LONG = " ".join(f"word{i}" for i in range(90_000))  # more than a tsvector of PostgreSQL can hold
TEXTS = {
    "coffee": ("Where is the café?", "The CAFÉ is closed", "It opens at nine"),
    "long": ("Say a lot", LONG, "data:image/png;base64,iVBORw0KGgo"),
    "plain": ("Where is the bakery?", "The bakery is open", "foo_bar, it's 3.5 km"),
}


class Dataset:
    """A dataset in a running server: the sample pairs and three other records."""

    def __init__(self, server, connect):
        self.server = server
        store = connect(server.url, server.api_key)
        store.open("me/searched", question="?")
        store.add_pairs(ROWS)
        events = [event(PAIRS[0]), event(PAIRS[1], "tie"), event(PAIRS[2], "skip")]
        store.save(store.annotator("p-1", "Ada"), events)
        self.id = dataset_id(server, "me/searched")
        self.store = store
        questions = self.call(f"datasets/{self.id}/questions")["items"]
        choice = next(q["id"] for q in questions if q["name"] == "choice")
        items = [
            {
                "external_id": name,
                "fields": dict(zip(("prompt", "a", "b"), texts, strict=True)),
                "metadata": {"prompt_id": name, "round": number},
                "suggestions": [
                    {"question_id": choice, "value": "ab"[number % 2], "score": number / 10}
                ],
            }
            for number, (name, texts) in enumerate(TEXTS.items(), 7)
        ]
        self.call(f"datasets/{self.id}/records/bulk", {"items": items}, "PUT")

    def call(self, path: str, body: dict | None = None, method: str | None = None) -> dict:
        request = urllib.request.Request(
            f"{self.server.url}/api/v1/{path}",
            json.dumps(body).encode() if body is not None else None,
            {"X-Argilla-API-Key": self.server.api_key, "content-type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def search(self, body: dict, query: str = "", whose: str = "") -> list[str]:
        answer = self.call(f"{whose}datasets/{self.id}/records/search?{query}", body)
        return [i["record"]["external_id"] for i in answer["items"]]

    def find(self, q: str, **field: str) -> set[str]:
        return set(self.search({"query": {"text": {"q": q, **field}}}))

    def filter(self, scope: dict, **test: object) -> set[str]:
        kind = "terms" if "values" in test else "range"
        return set(self.search({"filters": {"and": [{"type": kind, "scope": scope, **test}]}}))

    def sort(self, scope: dict, order: str = "asc") -> list[str]:
        return self.search({"sort": [{"scope": scope, "order": order}]})


@pytest.fixture(scope="module")
def dataset(server, connect) -> Dataset:
    return Dataset(server, connect)


def ids_with(text: str) -> set[str]:
    return {pair.id for pair, _, x, y in ROWS if text in (x.text, y.text)}


def test_words_and_phrases(dataset):
    assert dataset.find('"text 1"') == ids_with("text 1")
    assert dataset.find('"text 1" | "text 2"') == ids_with("text 1") | ids_with("text 2")
    assert dataset.find("where bakery", field="prompt") == {"plain"}
    assert dataset.find("where -bakery") == {"coffee"}
    assert dataset.find("bak*") == {"plain"}
    assert dataset.find("bak") == set()
    assert dataset.find("nowhere") == set()
    assert dataset.find("foo_bar") == {"plain"}


def test_accents_and_capitals_do_not_matter(dataset):
    for q in ("cafe", "Café", unicodedata.normalize("NFD", "café"), "CAFE"):
        assert dataset.find(q) == {"coffee"}, q


def test_one_field_alone(dataset):
    assert dataset.find("bakery", field="a") == {"plain"}
    assert dataset.find("bakery", field="b") == set()


@pytest.mark.parametrize("q", ["\"' OR ; DROP * (", "& | ! <->", ":* \\ '", "-", "*", "-nowhere"])
def test_strange_queries_find_nothing_and_break_nothing(dataset, q):
    assert dataset.find(q) == set()


def test_a_text_of_any_length_is_saved_and_found_by_its_beginning(dataset):
    assert dataset.find("word17") == {"long"}


def test_filters_of_records(dataset):
    status = {"entity": "record", "property": "status"}
    assert dataset.filter(status, values=["completed"]) == {PAIRS[0].id, PAIRS[1].id}
    inserted = {"entity": "record", "property": "inserted_at"}
    everything = {p.id for p in PAIRS} | set(TEXTS)
    assert dataset.filter(inserted, ge="2020-01-01T00:00:00") == everything
    assert dataset.filter(inserted, le="2020-01-01T00:00:00+02:00") == set()


def test_filters_of_metadata(dataset):
    prompt = {"entity": "metadata", "metadata_property": "prompt_id"}
    assert dataset.filter(prompt, values=["plain", "coffee", "none"]) == {"plain", "coffee"}
    number = {"entity": "metadata", "metadata_property": "round"}
    assert dataset.filter(number, ge=8, le=9) == {"long", "plain"}
    assert dataset.filter(number, ge=8, le=8) == {"long"}


def test_filters_of_responses(dataset):
    choice = {"entity": "response", "question": "choice"}
    assert dataset.filter(choice, values=["tie"]) == {PAIRS[1].id}
    strength = {"entity": "response", "question": "strength"}
    assert dataset.filter(strength, values=["3"]) == {PAIRS[0].id}
    assert dataset.filter(strength, ge=3) == {PAIRS[0].id}
    assert dataset.filter(strength, ge=4) == set()
    status = {"entity": "response", "property": "status"}
    assert dataset.filter(status, values=["discarded"]) == {PAIRS[2].id}
    assert PAIRS[2].id not in dataset.filter(status, values=["pending"])
    assert len(dataset.filter(status, values=["pending", "discarded"])) == len(PAIRS) + 3 - 2


def test_filters_of_suggestions(dataset):
    value = {"entity": "suggestion", "question": "choice", "property": "value"}
    assert dataset.filter(value, values=["b"]) == {"coffee", "plain"}
    score = {"entity": "suggestion", "question": "choice", "property": "score"}
    assert dataset.filter(score, ge=0.75) == {"long", "plain"}


def test_order(dataset):
    inserted = {"entity": "record", "property": "inserted_at"}
    assert dataset.sort(inserted) == list(reversed(dataset.sort(inserted, "desc")))
    score = {"entity": "suggestion", "question": "choice", "property": "score"}
    assert dataset.sort(score, "desc")[:3] == [
        "plain",
        "long",
        "coffee",
    ]  # without one: last
    number = {"entity": "metadata", "metadata_property": "round"}
    assert dataset.sort(number, "desc")[:3] == ["plain", "long", "coffee"]
    strength = {"entity": "response", "question": "strength"}
    assert dataset.sort(strength)[0] == PAIRS[0].id
    status = {"entity": "response", "property": "status"}
    assert len(dataset.sort(status)) == len(PAIRS) + 3


def test_each_user_has_a_stable_order(dataset):
    first = dataset.search({}, whose="me/")
    assert dataset.search({}, whose="me/") == first
    assert sorted(first) == sorted(dataset.search({}))


def test_pages_are_consecutive(dataset):
    pages = [dataset.search({}, f"limit=4&offset={n}") for n in (0, 4, 8)]
    assert [name for page in pages for name in page] == dataset.search({})


def test_metrics_of_metadata(dataset):
    names = {
        p["name"]: p["id"]
        for p in dataset.call(f"me/datasets/{dataset.id}/metadata-properties")["items"]
    }
    rounds = dataset.call(f"metadata-properties/{names['round']}/metrics")
    assert (rounds["min"], rounds["max"]) == (1, 9)
    prompts = dataset.call(f"metadata-properties/{names['prompt_id']}/metrics")
    assert prompts["total"] == len(PAIRS) + 3
    assert prompts["values"][0] == {"term": PAIRS[0].prompt_id, "count": len(PAIRS)}


def test_progress(dataset):
    progress = dataset.call(f"datasets/{dataset.id}/progress")
    assert (progress["total"], progress["completed"]) == (len(ROWS) + 3, 2)
