from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from palate.core import hub as calls
from palate.core.errors import PalateError, Supervised, Unreachable, UsageError
from palate.core.hub_errors import requested_wait


def test_a_file_goes_up_and_comes_down(hub, repo_id, tmp_path):
    assert calls.create(repo_id, "dataset")
    assert not calls.create(repo_id, "dataset")
    (tmp_path / "local").write_text("from disk")
    files = {"a b/[x].txt": "text", "bytes": b"\x00\x01", "disk": tmp_path / "local"}
    sha = calls.commit(repo_id, "dataset", files, "Add")
    assert calls.describe(repo_id, "dataset")[0] == sha
    local = calls.fetch(repo_id, "dataset", sha, list(files))
    assert [f.read_bytes() for f in local] == [b"text", b"\x00\x01", b"from disk"]


def test_a_commit_on_an_old_parent_is_a_conflict_and_changes_nothing(hub, repo_id):
    calls.create(repo_id, "dataset")
    old, _ = calls.describe(repo_id, "dataset")
    new = calls.commit(repo_id, "dataset", {"a": "1"}, "Add", parent=old)
    with pytest.raises(calls.Conflict, match="Somebody else changed"):
        calls.commit(repo_id, "dataset", {"a": "2"}, "Add", parent=old)
    assert calls.describe(repo_id, "dataset")[0] == new


def test_a_tag_moves(hub, repo_id):
    calls.create(repo_id, "model")
    first = calls.commit(repo_id, "model", {"a": "1"}, "One")
    calls.tag(repo_id, "model", "judged", first)
    second = calls.commit(repo_id, "model", {"a": "2"}, "Two")
    calls.tag(repo_id, "model", "judged", second)
    assert calls.describe(repo_id, "model", "judged")[0] == second


def test_missing_things_are_named(hub, repo_id):
    with pytest.raises(UsageError, match=f"There is no repo {repo_id}"):
        calls.describe(repo_id, "dataset")
    calls.create(repo_id, "dataset")
    for revision in ("nowhere", "a b/c"):
        with pytest.raises(UsageError, match=f"{repo_id} has no such revision: {revision}. Name a"):
            calls.describe(repo_id, "dataset", revision)
    sha, _ = calls.describe(repo_id, "dataset")
    with pytest.raises(PalateError, match=r"has no nowhere\.txt"):
        calls.fetch(repo_id, "dataset", sha, ["nowhere.txt"])


@pytest.mark.parametrize(
    ("whose", "advice"),
    [("you", "with the account of your token. Then"), (None, "hf auth login")],
)
def test_a_gated_repo_says_where_to_ask_for_access(
    hub, repo_id, monkeypatch, tmp_path, whose, advice
):
    calls.create(repo_id, "model")
    sha = calls.commit(repo_id, "model", {"config.json": "{}", "b.txt": "2"}, "Add")
    calls.api().update_repo_settings(repo_id, gated="auto", private=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    if whose:
        monkeypatch.setenv("HF_TOKEN", hub.tokens[whose])
    else:
        monkeypatch.delenv("HF_TOKEN")
    assert calls.describe(repo_id, "model")[0] == sha
    with pytest.raises(Unreachable) as refused:
        calls.fetch(repo_id, "model", sha, ["b.txt"])
    assert f"{repo_id} is gated" in str(refused.value)
    assert f"{hub.endpoint}/{repo_id}" in str(refused.value)
    assert advice in str(refused.value)


def test_what_is_busy_is_tried_again(hub, repo_id):
    import huggingface_hub.errors
    from huggingface_hub.utils import httpx

    answers = [503, 429, 200]

    def call() -> str:
        status = answers.pop(0)
        if status != 200:
            request = httpx.Request("GET", "http://127.0.0.1")
            response = httpx.Response(status, request=request, headers={"Retry-After": "0"})
            raise huggingface_hub.errors.HfHubHTTPError("busy", response=response)
        return "done"

    assert calls.retry(call) == "done"
    assert answers == []


def test_a_background_thread_shows_what_it_waits_for(hub):
    from huggingface_hub.utils import httpx

    outcomes = [httpx.ConnectError("refused"), httpx.ConnectError("refused"), None]
    problems = []

    def call() -> None:
        problems.append(thread.problem)
        if error := outcomes.pop(0):
            raise error

    thread = Supervised("worker", lambda: calls.retry(call))
    thread.start()
    thread.join(20)
    passing = "The Hub does not answer (refused). palate is trying again."
    assert problems == [None, None, passing]  # a single failure is nothing to show
    assert thread.problem is None


def test_what_will_not_get_better_is_not_tried_again():
    import huggingface_hub.errors
    from huggingface_hub.utils import httpx

    tries = []

    def call() -> None:
        tries.append(1)
        response = httpx.Response(403, request=httpx.Request("GET", "http://127.0.0.1"))
        raise huggingface_hub.errors.HfHubHTTPError("no", response=response)

    with pytest.raises(Unreachable, match="may not write"), calls.readable_errors("me/x"):
        calls.retry(call)
    assert len(tries) == 1


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({}, 0, 0),
        ({"Retry-After": "7"}, 7, 7),
        ({"retry-after": " 7 "}, 7, 7),
        ({"Retry-After": format_datetime(datetime.now(UTC) + timedelta(hours=9))}, 3600, 32400),
        ({"Retry-After": "Wed, 25 Nov 2026 20:40:00 -0000"}, 0, 1e9),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0, 0),
        ({"Retry-After": "soon"}, 0, 0),
        ({"Retry-After": "-5"}, 0, 0),
        ({"Retry-After": "³"}, 0, 0),
        ({"RateLimit": '"api";r=0;t=55', "Retry-After": "7"}, 55, 55),
        ({"RateLimit": '"api";r=3;t=55', "Retry-After": "7"}, 7, 7),
        ({"RateLimit": "nonsense"}, 0, 0),
    ],
)
def test_a_server_can_ask_for_a_wait_in_several_ways(headers, least, most):
    assert least <= requested_wait(headers) <= most
