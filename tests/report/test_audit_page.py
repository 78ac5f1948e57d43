"""The audit as a page and as a terminal's table, of rows that anybody may have written."""

import io
import re

from rich.console import Console

from palate.audit import findings, measure
from palate.collect import pairs
from palate.collect.columns import Columns
from palate.collect.tables import Table
from palate.report import audit_page

HOSTILE = "<script>alert(1)</script><img src=http://example.com/x.png>"


def audited(source: str = "pairs.csv", text: str = "text"):
    made = [
        {
            "prompt": f"{text} {i // 6}",
            "a": f"{text} {'long ' * (i % 3 + 1)}{i}",
            "b": f"{text} {i}",
            "choice": "a" if i % 4 else "b",
            "split": "test" if i % 6 == 5 else "train",
        }
        for i in range(240)
    ]
    table = Table(source, tuple(made[0]), made, list(range(1, 241)))
    result = measure.measure(pairs.read(table, Columns("prompt", "a", "b", "choice")))
    return result, findings.findings(result)


def test_the_page_holds_everything_itself():
    result, found = audited()
    html = audit_page.render(result, found)
    assert not re.search(r"<(script|link|img|iframe)", html)
    assert not re.search(r"(src|href)=[\"']?http", html.replace("http://www.w3.org", ""))
    assert "prefers-color-scheme:dark" in html
    assert "Baselines to beat" in html
    assert "What people chose" in html
    for f in found:
        assert f'class="{f.level}"' in html
    assert html.count("<svg") == html.count("<figure>") >= 2


def test_text_of_the_rows_stays_text():
    result, found = audited(HOSTILE, HOSTILE)
    assert any(HOSTILE in f.text for f in found)  # the example of a leaking prompt
    html = audit_page.render(result, found)
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html


def test_an_audit_of_nothing_is_a_page_too():
    table = Table("empty.csv", ("prompt", "a", "b", "choice"), [], [])
    result = measure.measure(pairs.read(table, Columns("prompt", "a", "b", "choice")))
    found = findings.findings(result)
    assert [f.level for f in found if f.text == "No row prefers one text."] == ["fatal"]
    assert "<figure" not in audit_page.render(result, found)


def test_the_table_says_it_all_in_a_narrow_terminal():
    result, found = audited(text="[red]odd[/]")
    out = io.StringIO()
    Console(file=out, width=60).print(audit_page.table(result, found))
    said = " ".join(out.getvalue().split())
    for f in found:
        assert f.level in said
    assert all(len(line) <= 60 for line in out.getvalue().splitlines())
    assert "[red]odd[/]" in said
