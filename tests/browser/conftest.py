"""A real Chromium, a real project, a real Space in front of a real Argilla."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import rich_ballot
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from run_facts import RUN
from still_ballot import served

from palate.argilla.store import LabelStore
from palate.collect import importing
from palate.collect.importing import Imported
from palate.core.project import Project, Settings
from palate.core.schema import Candidate, Prompt
from palate.web.serving import Space

CHROMIUM = "/usr/bin/chromium"
WITHOUT_WINDOWS = f"{CHROMIUM}-headless-shell"  # the same browser in less time, where it is
FLAGS = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as p:
        path = WITHOUT_WINDOWS if Path(WITHOUT_WINDOWS).exists() else CHROMIUM
        browser = p.chromium.launch(executable_path=path, args=[*FLAGS.split(), "--disable-sync"])
        yield browser
        browser.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """Close what a test opened: pages that stay open go on asking servers that are gone."""
    yield chromium
    for context in chromium.contexts:
        context.close()


@dataclass
class Visit:
    """A page, and what went wrong or went out while it was open."""

    page: Page
    context: BrowserContext
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def current(self) -> str:
        return self.page.evaluate("document.querySelector('.ballot')?.dataset.aid || ''")

    def texts(self) -> dict[str, str]:
        """Return the prompt and the two answers that are on screen."""
        return {
            side: self.page.inner_text(f"[data-f={side}]").strip()
            for side in ("prompt", "left", "right")
        }

    def close(self) -> None:
        """Close what opened over the page."""
        self.page.click(".b-dialog[open] [data-act=close]")
        self.page.wait_for_selector(".b-dialog[open]", state="detached")

    def write(self, text: str) -> None:
        """Fill in the field that opened over the page, and send it."""
        self.page.fill(".b-dialog[open] textarea", text)
        self.page.click(".b-dialog[open] .b-main")

    def ready(self) -> None:
        self.page.wait_for_selector('.ballot[data-aid]:not([data-aid=""])', timeout=60000)
        self.page.wait_for_timeout(270)  # the page ignores input while a pair has just appeared

    def press(self, key: str) -> None:
        self.ready()
        before = self.current()
        self.page.keyboard.press(key)
        self.moved(before)

    def tap(self, selector: str) -> None:
        self.ready()
        before = self.current()
        self.page.tap(selector)
        self.moved(before)

    def moved(self, before: str) -> None:
        self.page.wait_for_selector(f'.ballot:not([data-aid="{before}"])')

    def published(self) -> None:
        """Wait until the page says that all is on the Hub and its outbox is empty."""
        end = '.b-sync:is([data-s=bad], :has(:text-is("on the Hub")))'
        self.page.wait_for_selector(end, state="attached", timeout=180_000)
        assert self.page.inner_text(".b-sync") == "on the Hub"


@pytest.fixture
def visit(browser):
    """Opens a page as a person of that name."""

    def visit(url: str, name: str, device: dict) -> Visit:
        context = browser.new_context(**{"locale": "en-US"} | device)
        v = Visit(context.new_page(), context)
        v.page.on("console", lambda m: m.type == "error" and v.complaints.append(m.text))
        v.page.on("pageerror", lambda e: v.complaints.append(str(e)))
        v.page.on(
            "request",
            lambda r: r.url.startswith(("http", "ws")) and "127.0.0.1" not in r.url
            and v.strangers.append(r.url),
        )  # fmt: skip
        v.page.goto(f"{url}/?as={name}")
        return v

    return visit


@pytest.fixture(scope="module")
def page(chromium) -> Iterator[Page]:
    """One page in one context for a module's tests, on a rich ballot; each is a person."""
    with served(rich_ballot.PAIRS) as server:
        page = chromium.new_context(locale="en-US").new_page()
        page.server = server
        yield page
        page.context.close()


@pytest.fixture
def project(hub, repo_id, request) -> Project:
    """Fourteen prompts, or as many as asked, with three candidates each."""
    prompts = [Prompt.of(f"Prompt number {i}") for i in range(getattr(request, "param", 14))]
    candidates = [Candidate.of(p.id, f"Answer {n} to {p.text}") for p in prompts for n in "123"]
    settings = Settings(question="Which answer is better?", repeats=0.0, eval=0.1, steps=4)
    importing.start_project(repo_id, prompts, settings)
    importing.add(repo_id, Imported([], candidates, []), "Add candidates")
    return Project.load(repo_id)


@pytest.fixture(autouse=True)
def fast_spaces(fast_commands) -> None:
    """Spaces that a test starts are forks."""


@pytest.fixture
def label_space(project, argilla, tmp_path, monkeypatch) -> Iterator[Space]:
    monkeypatch.setenv("PALATE_DATA", str(tmp_path / "data"))
    env = {"ARGILLA_API_URL": argilla.url, "ARGILLA_API_KEY": argilla.api_key}
    with Space("label", project.id, env=env, log=tmp_path / "label.log") as space:
        yield space


@pytest.fixture
def in_argilla(project, argilla):
    """Reads the events that Argilla holds of the project."""
    store = LabelStore(argilla.url, argilla.api_key)

    def read():
        store.open(project.id, question="?")
        return list(store.events())

    yield read
    store.close()


@pytest.fixture
def run_facts() -> str:
    """A run.json, as a training job writes it."""
    return json.dumps(RUN | {"base_model": "secret/base-model", "base_revision": "b" * 40})
