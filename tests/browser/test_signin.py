"""Sign in with Hugging Face, in Chromium, with the local Hub as the provider."""

from collections.abc import Callable, Iterator

import pytest
from axe_core import wrong_with
from devices import DESK, PHONE
from playwright.sync_api import Page
from signing import sign_in

from palate.core import hub as calls
from palate.core.project import Project, Settings
from palate.localhub import LocalHub
from palate.localhub.apps import register
from palate.web.serving import Space, free_port

REQUEST = "{method: 'POST', body: '{}', headers: {'content-type': 'application/json'}}"
ASK = f"fetch('/api/next', {REQUEST}).then((r) => r.status)"
pytestmark = [pytest.mark.browser, pytest.mark.slow]


class Registered:
    """The settings of a Space that the Hub knows as an app, so that people sign in."""

    def __init__(self, hub: LocalHub, seconds: float):
        self.port = free_port()
        back = f"http://127.0.0.1:{self.port}/login/callback"
        id, secret = register(hub.root, "Label titles", [back], seconds)
        self.env = {
            "SYSTEM": "spaces", "SPACE_ID": "me/titles-label", "OAUTH_SCOPES": "openid profile",
            "OAUTH_CLIENT_ID": id, "OAUTH_CLIENT_SECRET": secret,
            "OPENID_PROVIDER_URL": hub.endpoint, "GRADIO_SERVER_PORT": str(self.port),
        }  # fmt: skip


@pytest.fixture(scope="module")
def registered(hub) -> Registered:
    return Registered(hub, seconds=3600)


@pytest.fixture
def hosted(
    project, hub, argilla, registered, space_python, tmp_path, monkeypatch
) -> Iterator[Callable[..., Space]]:
    """Starts the label Space as it runs on the Hub: people sign in."""
    monkeypatch.setenv("PALATE_DATA", str(tmp_path / "data"))
    spaces = []

    def start(app: Registered = registered) -> Space:
        env = {"ARGILLA_API_URL": argilla.url, "ARGILLA_API_KEY": argilla.api_key} | app.env
        log = tmp_path / f"{app.port}.log"
        with space_python.instead():
            spaces.append(Space("label", project.id, port=app.port, env=env, log=log).start())
        return spaces[-1]

    yield start
    for space in spaces:
        space.stop()


def settings(project: Project, **changes) -> None:
    text = Settings(repeats=0.0, **changes).dump()
    calls.commit(project.id, "dataset", {"palate.toml": text}, "Say who may label")


def press(page: Page, key: str = "1") -> None:
    page.wait_for_selector('.ballot[data-aid]:not([data-aid=""])')
    before = page.get_attribute(".ballot", "data-aid")
    page.wait_for_timeout(270)
    page.keyboard.press(key)
    page.wait_for_selector(f'.ballot:not([data-aid="{before}"])')


def synced(page: Page) -> None:
    page.wait_for_selector('.b-sync :text-is("on the Hub")', state="attached", timeout=60000)


@pytest.mark.parametrize("device", [DESK, PHONE], ids=["desk", "phone"])
def test_signing_in_labelling_and_the_owners_page(project, hub, hosted, browser, device):
    space, wrong = hosted(), []
    context = browser.new_context(**device, locale="en-US")
    page = context.new_page()
    page.goto(space.url)
    assert page.evaluate(ASK) == 401
    sign_in(hub, page, "me", lambda page, name: wrong.extend(wrong_with(page, name)))
    press(page)
    synced(page)
    (event,) = Project.load(project.id).labels
    assert "me" not in event.annotator.split("-")
    page.click(".b-sync")
    page.wait_for_selector(".b-dialog[open] a[href='/owner']")
    wrong += wrong_with(page, "sign-in-session")
    page.goto(f"{space.url}/owner")
    assert "1 judgement on 1 pair by 1 person" in page.text_content("main")
    assert page.locator("td", has_text="me").count()
    cookies = {c["name"]: c for c in context.cookies(space.url)}
    (cookie,) = [c for name, c in cookies.items() if name.startswith("palate-")]
    assert cookie["httpOnly"]
    assert cookie["secure"]
    page.goto(f"{space.url}/logout")
    page.goto(space.url)
    page.wait_for_selector(".b-dialog[open] a.b-main")
    wrong += wrong_with(page, "signed-out")
    page.goto(f"{space.url}/owner")
    wrong += wrong_with(page, "owner-closed")
    assert wrong == []
    context.close()


def test_others_see_neither_the_owners_page_nor_each_others_labels(project, hub, hosted, browser):
    space = hosted()
    context = browser.new_context(locale="en-US")
    page = context.new_page()
    page.goto(space.url)
    sign_in(hub, page, "you")
    press(page)
    synced(page)
    assert context.request.get(f"{space.url}/owner").status == 403
    assert context.request.get(f"{space.url}/owner.json?key=x").status == 403
    assert context.request.get(f"{space.url}/owner").headers["content-security-policy"]
    outbox = "Object.keys(localStorage).filter((k) => k.startsWith('palate:outbox'))"
    assert all(k.endswith(":you") for k in page.evaluate(outbox))
    context.close()


def test_an_expired_session_keeps_the_answers(project, hub, hosted, browser):
    space = hosted(Registered(hub, seconds=8))
    context = browser.new_context(locale="en-US")
    page = context.new_page()
    page.goto(space.url)
    sign_in(hub, page, "you")
    press(page)
    name = "fetch('/api/me').then((r) => r.json()).then((me) => me.name)"
    while page.evaluate(name) is not None:
        page.wait_for_timeout(200)
    press(page)
    page.wait_for_selector(".b-dialog[open] a.b-main")
    assert "kept on this device" in page.inner_text(".b-dialog")
    sign_in(hub, page, "you")
    synced(page)
    assert len(Project.load(project.id).labels) == 2
    context.close()


@pytest.mark.parametrize(
    ("annotators", "may"),
    [(("you",), True), (("somebody-else",), False), ("my-org", False), ("anyone", True)],
)
def test_who_may_label(project, hub, hosted, browser, annotators, may):
    settings(project, annotators=annotators)
    space = hosted()
    context = browser.new_context(locale="en-US")
    page = context.new_page()
    page.goto(space.url)
    sign_in(hub, page, "you")
    if may:
        press(page)
    else:
        page.wait_for_selector(".b-dialog[open] h2:text('Invitation only')")
        assert page.evaluate(ASK) == 403
    context.close()
