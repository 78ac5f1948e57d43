"""Labelling in Chromium with double clicks, held keys, several tabs and a network that fails."""

from support.local import chromium


class Hands:
    """A person in Chromium with unsteady hands and network."""

    def __init__(self, url: str, name: str):
        self.url, self.name = url, name
        self.given: set[str] = set()
        self.refused: list[str] = []

    def label(self, wanted: int) -> None:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as p:
            browser = chromium(p)
            self.context = browser.new_context(
                viewport={"width": 1280, "height": 800}, locale="en-US"
            )
            self.context.on("request", self.note)
            page = self.visit()
            other = self.visit(wait=False)  # a second tab, which waits for its turn
            for i in range(wanted):
                if i % 50 == 40:
                    page, other = self.reopen(page, other, offline=i % 100 == 40)
                self.press(page, i)
            page.wait_for_selector(
                '.b-sync :text-is("on the Hub")', state="attached", timeout=120_000
            )
            browser.close()

    def note(self, request) -> None:
        if request.url.endswith("/api/events"):
            self.given |= {e["event_id"] for e in request.post_data_json["events"]}

    def visit(self, wait: bool = True):
        page = self.context.new_page()
        page.goto(f"{self.url}/?as={self.name}")
        if wait:
            self.ready(page)
        return page

    def ready(self, page) -> None:
        page.wait_for_selector('.ballot[data-aid]:not([data-aid=""])', timeout=60_000)
        page.wait_for_timeout(260)  # the page ignores input right after a new pair

    def press(self, page, i: int) -> None:
        self.ready(page)
        before = page.get_attribute(".ballot", "data-aid")
        if i % 3 == 0:
            page.dblclick(".b-scale[data-side=left] [data-v='3']")
        elif i % 3 == 1:
            for _ in range(5):
                page.keyboard.down("ArrowRight")
            page.keyboard.up("ArrowRight")
        else:
            page.keyboard.press("1")
        page.wait_for_selector(f'.ballot:not([data-aid="{before}"])')

    def reopen(self, page, other, offline: bool):
        """Close the tab and use the other one; `offline`: after labels that could not be sent."""
        if offline:
            self.context.set_offline(True)
            for i in range(5):
                if page.evaluate("document.querySelector('.ballot').dataset.state") == "ready":
                    self.press(page, i)
        page.close()
        self.context.set_offline(False)
        self.ready(other)
        return other, self.visit(wait=False)
