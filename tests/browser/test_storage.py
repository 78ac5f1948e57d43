"""A browser whose storage refuses, is full or holds nonsense; one browser, two people."""

import json

import pytest
from devices import DESK, PHONE
from still_ballot import served

PAIRS = [(f"Prompt {i}", f"left {i}", f"right {i}") for i in range(12)]
REFUSED = """Object.defineProperty(window, 'localStorage', {
  get() { throw new DOMException('denied', 'SecurityError') } })"""
FULL = (
    """Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') }"""
)
OUTBOX = "palate:outbox:still:Ada"
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def ballot():
    with served(PAIRS) as page:
        yield page


@pytest.fixture
def url(ballot):
    return ballot.url


def opened(browser, url: str, script: str = "", device: dict = DESK, name: str = "Ada"):
    """Return a page on which `script` ran before the page's own scripts did."""
    page = browser.new_context(**device, locale="en-US").new_page()
    page.on("pageerror", lambda e: pytest.fail(str(e)))
    page.add_init_script(script)
    page.goto(f"{url}/?as={name}")
    return page


def press(page, key: str) -> None:
    page.wait_for_selector('.ballot[data-aid]:not([data-aid=""])')
    before = page.get_attribute(".ballot", "data-aid")
    page.wait_for_timeout(270)
    page.keyboard.press(key)
    page.wait_for_selector(f'.ballot:not([data-aid="{before}"])')


def sent(ballot, page, n: int, name: str = "Ada") -> list[str]:
    page.wait_for_selector('.b-sync :text-is("on the Hub")', state="attached", timeout=20000)
    events = ballot.sent[name]
    assert len({e["event_id"] for e in events}) == n
    return [e.get("choice") or e["kind"] for e in {e["event_id"]: e for e in events}.values()]


@pytest.mark.parametrize("script", [REFUSED, FULL], ids=["refused", "full"])
@pytest.mark.parametrize("device", [DESK, PHONE], ids=["desk", "phone"])
def test_without_storage_the_page_works_and_says_so(browser, ballot, url, script, device):
    page = opened(browser, url, script, device)
    press(page, "ArrowLeft")
    assert "keep this page open" in page.inner_text(".b-unkept")
    press(page, "ArrowRight")
    press(page, "u")
    press(page, "b")
    assert sorted(sent(ballot, page, 4)) == ["both_bad", "left", "right", "undo"]


def test_storage_that_fills_up_midway_loses_nothing(browser, ballot, url):
    page = opened(browser, url)
    press(page, "ArrowLeft")
    assert page.is_hidden(".b-unkept")
    sent(ballot, page, 1)
    ballot.tell(deaf=True)
    page.evaluate(f"() => {{ {FULL} }}")
    press(page, "ArrowRight")
    press(page, "ArrowRight")
    assert "keep this page open" in page.inner_text(".b-unkept")
    assert "2 to send" in page.inner_text(".b-sync")
    page.click(".b-sync")
    page.wait_for_selector(".b-state")
    assert "in this open page only" in page.inner_text(".b-state")
    page.click(".b-dialog[open] .b-main")
    ballot.tell(deaf=False)
    assert sent(ballot, page, 3) == ["left", "right", "right"]


@pytest.mark.parametrize("text", ['{"a":1}', "[null]", "{", "[1, [], {}]", '"x"', "null", "1e999"])
def test_a_corrupt_outbox_is_set_aside(browser, ballot, url, text):
    page = opened(browser, url, f"localStorage.setItem('{OUTBOX}', {text!r})")
    press(page, "ArrowLeft")
    assert sent(ballot, page, 1) == ["left"]
    aside = """Object.entries(localStorage).filter(([key]) => key.startsWith('palate:aside'))
      .map((entry) => entry[1])"""
    assert page.evaluate(aside) == [text]


def test_what_can_be_read_of_an_outbox_is_sent(browser, ballot, url):
    good = {"event_id": "an-event-id", "assignment_id": "Ada-5", "kind": "tie"}
    kept = json.dumps([None, {"event": good, "state": None, "at": 0}, {"event": 1}])
    page = opened(browser, url, f"localStorage.setItem('{OUTBOX}', {kept!r})")
    page.wait_for_selector(".b-toast:not([hidden])")
    assert "set aside" in page.inner_text(".b-toast")
    assert sent(ballot, page, 1) == ["tie"]


def test_long_answers_that_piled_up_are_sent(browser, ballot, url):
    long = {"kind": "rewrite", "text": "\u00e4" * 20_000}
    events = [long | {"event_id": f"event-{n:03}", "assignment_id": f"Ada-{n}"} for n in range(9)]
    kept = json.dumps([{"event": event, "state": None, "at": 0} for event in events])
    page = opened(browser, url, f"localStorage.setItem('{OUTBOX}', {kept!r})")
    assert sent(ballot, page, 9) == ["rewrite"] * 9


def test_an_undo_goes_after_what_it_takes_back(browser, ballot, url):
    asked: list[list[str]] = []

    def wait(route) -> None:
        events = route.request.post_data_json["events"]
        asked.append([e["event_id"] for e in events])
        results = [{"event_id": e["event_id"], "state": "waiting"} for e in events]
        route.fulfill(json={"results": results})

    page = browser.new_context(**DESK, locale="en-US").new_page()
    page.route("**/api/events", wait)
    names = [f"event-{n:03}" for n in range(30)]
    kept = [{"event": {"event_id": name, "assignment_id": "x", "kind": "tie"}, "state": "waiting",
             "at": 1} for name in names]  # fmt: skip
    undo = {"event_id": "undo-first", "assignment_id": "x", "kind": "undo", "target": names[-1]}
    kept.append({"event": undo, "state": None, "at": 0})
    page.add_init_script(f"localStorage.setItem('{OUTBOX}', {json.dumps(kept)!r})")
    page.goto(f"{url}/?as=Ada")
    while len(asked) < 2:
        page.wait_for_timeout(100)
    assert asked[0] == [*names[:18], names[-1], "undo-first"]
    assert {name for batch in asked for name in batch} == {*names, "undo-first"}
    page.unroute("**/api/events")
    assert len(sent(ballot, page, 31)) == 31
    order = [e["event_id"] for e in ballot.sent["Ada"]]
    assert order.index(names[-1]) < order.index("undo-first")


def test_answers_that_an_earlier_version_kept_are_sent(browser, ballot, url):
    good = {"event_id": "an-event-id", "assignment_id": "Ada-5", "kind": "tie"}
    kept = json.dumps([{"event": good, "state": None, "at": 0}])
    page = opened(browser, url, f"localStorage.setItem('palate:outbox:/:label:Ada', {kept!r})")
    assert sent(ballot, page, 1) == ["tie"]


def test_of_two_people_in_one_browser_neither_gets_the_others(browser, ballot, url):
    page = opened(browser, url)
    press(page, "ArrowLeft")
    sent(ballot, page, 1)
    ballot.tell(deaf=True)
    press(page, "ArrowRight")
    page.wait_for_selector('.b-sync :text-is("1 to send")', state="attached")
    page.click(".b-sync")
    page.wait_for_selector(".b-name")
    assert page.inner_text(".b-name") == "Ada"
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("[data-act=leave]")
    page.wait_for_selector(".b-dialog[open] input")
    assert page.input_value(".b-dialog input") == ""
    ballot.tell(deaf=False)
    page.fill(".b-dialog input", "Bo")
    page.keyboard.press("Enter")
    press(page, "b")
    assert sent(ballot, page, 1, "Bo") == ["both_bad"]
    assert [e["assignment_id"] for e in ballot.sent["Bo"]] == ["Bo-0"]
    assert len(ballot.sent["Ada"]) == 1
    page.goto(f"{url}/?as=Ada")  # who comes back, sends what was left
    assert sent(ballot, page, 2) == ["left", "right"]
