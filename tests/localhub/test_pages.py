"""The pages that a browser shows, and what a hostile card cannot do there."""

import json
import re
from urllib.parse import urlencode, urlsplit

import pytest
from huggingface_hub import CommitOperationAdd

from palate.localhub import LocalHub, pages, render

CARD = """---
license: mit
tags: [dpo, "<b>bold</b>"]
base_model: {repo}
datasets: [me/titles]
model-index:
- name: x
  results:
  - task: {type: text-generation, name: Titles}
    dataset: {type: me/titles, name: titles}
    metrics: [{type: win_rate, value: 0.71438}]
---
# The card

| a | b |
|---|--:|
| 1 | 2 |

![loss](plots/loss.png) <img src="./plots/loss.png" onerror="alert(1)" style="position:fixed">
[files](data/a.jsonl) [evil](javascript:alert(1)) [out](https://example.org/x) [up](../../../login)
![tracker](https://example.org/pixel.png) ![other](//example.org/pixel.png)
<script>alert(1)</script><style>body{display:none}</style><iframe src="/"></iframe>
<form action="/logout" method="post"><button>x</button></form>
<a href="&#106;avascript:alert(1)">y</a> <svg><script>alert(1)</script></svg>
<p style="background:url(https://example.org/x)" id="user" class="top">z</p>
"""
ROWS = [
    {"prompt": [{"role": "user", "content": "Q"}], "chosen": "<script>alert(1)</script>", "n": 0.5},
    {"prompt": [], "chosen": None, "other": {"a": 1}},
]


@pytest.fixture
def repo(api, repo_id) -> str:
    """A private model with a hostile card and some files."""
    api.create_repo(repo_id, private=True)
    files = {
        "README.md": CARD.replace("{repo}", repo_id).encode(),
        "plots/loss.png": b"\x89PNG\r\n\x1a\n",
        "data/a.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS).encode(),
        "data/bad.jsonl": b'{"a": 1}\n[]\n{',
        "data/table.csv": "x,y\n1,é\n2,<i>\n".encode(),
        "data/<i>'\".txt": b"<script>alert(1)</script>",
        "model.safetensors": b"\0" * 2000,
    }
    changes = [CommitOperationAdd(name, content) for name, content in files.items()]
    api.create_commit(repo_id, changes, commit_message="<b>everything</b>", commit_description="d")
    return repo_id


def sign_in(wire, token: str) -> str:
    """Sign in with a token and return the browser's cookie."""
    form = urlencode({"token": token, "next": "/"}).encode()
    kind = "application/x-www-form-urlencoded"
    answer = wire.send("POST", "/login", form, Content_Type=kind, Accept="text/html")
    assert answer.status == 200
    return answer.headers["set-cookie"].partition(";")[0]


def test_a_hostile_card_is_made_harmless(wire, repo):
    page = wire.page(f"/{repo}")
    assert page.status == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "script" not in page.headers["content-security-policy"]
    html = page.text
    article = html[html.index('<article class="prose">') :]
    assert "<h1>The card</h1>" in article
    assert "<table tabindex" in article  # the keyboard scrolls it
    image = f'src="/{repo}/resolve/main/plots/loss.png"'
    assert article.count(image) == 2
    assert f'href="/{repo}/blob/main/data/a.jsonl"' in article
    assert 'href="https://example.org/x" rel="noopener noreferrer nofollow"' in article
    for hostile in (
        *("<script", "<style", "<iframe", "<form", "<svg", "onerror", "position", '="javascript'),
        *("pixel.png", "background", 'id="user"', 'class="top"', "../"),
    ):
        assert hostile not in article, hostile


def test_metadata_becomes_chips_and_a_table(wire, repo):
    html = wire.page(f"/{repo}").text
    assert f'<a href="/{repo}">{repo}</a>' in html
    assert "<small>dataset</small> me/titles" in html  # no link to a repo that is not here
    assert "&lt;b&gt;bold&lt;/b&gt;" in html
    assert re.search(r"win_rate</td>\s*<td class=\"number\">0.7144", html)


def test_files_and_history(wire, api, repo):
    tree = wire.page(f"/{repo}/tree/main").text
    assert f'href="/{repo}/tree/main/data"' in tree
    assert "2.0 kB" in tree
    assert "<b>everything" not in tree
    rows = wire.page(f"/{repo}/blob/main/data/a.jsonl").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in rows
    assert "user: Q" in rows
    assert "<script" not in rows
    assert "<td><div>&lt;i&gt;</div></td>" in wire.page(f"/{repo}/blob/main/data/table.csv").text
    assert "{&#34;a&#34;: 1}" in wire.page(f"/{repo}/blob/main/data/bad.jsonl").text
    assert "<img src=" in wire.page(f"/{repo}/blob/main/plots/loss.png").text
    assert "binary or too large to show" in wire.page(f"/{repo}/blob/main/model.safetensors").text
    folder = wire.page(f"/{repo}/tree/main/data").text
    odd = re.search(r'href="(/[^"]*blob[^"]*i%3E[^"]*)"', folder)
    assert odd
    assert "&lt;script&gt;" in wire.page(odd[1]).text
    history = wire.page(f"/{repo}/commits/main").text
    assert history.index("everything") < history.index("initial commit")
    oid = api.model_info(repo).sha
    change = wire.page(f"/{repo}/commit/{oid}").text
    assert "model.safetensors" in change
    first = api.list_repo_commits(repo)[-1].commit_id
    assert "added</b> .gitattributes" in wire.page(f"/{repo}/commit/{first}").text
    assert wire.page(f"/{repo}/tree/v%2Fnope").status == 404


def test_long_tables_and_histories_have_pages(wire, api, repo_id):
    api.create_repo(repo_id)
    rows = "".join(json.dumps({"i": f"row-{i}"}) + "\n" for i in range(120)).encode()
    api.upload_file(path_or_fileobj=rows, path_in_repo="a.jsonl", repo_id=repo_id)
    first = wire.page(f"/{repo_id}/blob/main/a.jsonl").text
    last = wire.page(f"/{repo_id}/blob/main/a.jsonl?page=3").text
    assert "120 rows" in first
    assert "row-49<" in first
    assert "row-50<" not in first
    assert "row-119<" in last
    assert "?page=4" not in last
    assert wire.page(f"/{repo_id}/commits/main?page=9").status == 200
    assert wire.page(f"/{repo_id}/commits/main?page=x").status == 400


def test_a_job_has_a_page(wire, api):
    job = api.run_job(image="x", command=["echo", "<script>"])
    list(api.fetch_job_logs(job_id=job.id, follow=True))
    shown = wire.page(urlsplit(job.url).path).text
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown


def test_a_private_page_asks_to_sign_in(hub, nobody, repo):
    refused = nobody.page(f"/{repo}")
    assert (refused.status, refused.headers["location"]) == (
        303,
        f"/login?next=%2F{repo.replace('/', '%2F')}",
    )
    assert repo not in nobody.page("/").text
    cookie = sign_in(nobody, hub.token)
    assert "The card" in nobody.page(f"/{repo}", Cookie=cookie).text
    assert repo.partition("/")[2] in nobody.page("/", Cookie=cookie).text
    image = nobody.get(f"/{repo}/resolve/main/plots/loss.png", Cookie=cookie)
    assert (image.status, image.headers["content-type"]) == (200, "image/png")
    other = sign_in(nobody, hub.tokens["you"])
    assert nobody.page(f"/{repo}", Cookie=other).status == 404


def test_a_session_opens_pages_and_nothing_else(hub, nobody, repo):
    form = urlencode({"token": hub.token}).encode()
    kind = "application/x-www-form-urlencoded"
    answer = nobody.send("POST", "/login", form, Content_Type=kind)
    header = answer.headers["set-cookie"]
    assert "HttpOnly" in header
    assert "SameSite=strict" in header
    assert hub.token not in header
    cookie = header.partition(";")[0]
    assert nobody.get("/api/whoami-v2", Cookie=cookie).status == 401
    assert nobody.get(f"/api/models/{repo}", Cookie=cookie).status == 401
    create = nobody.send("POST", "/api/repos/create", {"name": "x"}, Cookie=cookie)
    assert create.status == 401
    forged = cookie[:-1] + ("0" if cookie[-1] != "0" else "1")
    assert nobody.page(f"/{repo}", Cookie=forged).status == 303
    foreign = nobody.send("POST", "/login", form, Content_Type=kind, Origin="http://evil.example")
    assert foreign.status == 403
    wrong = nobody.send("POST", "/login", b"token=hf_wrong", Content_Type=kind)
    assert wrong.status == 403
    assert "set-cookie" not in wrong.headers
    out = nobody.send("POST", "/logout", b"", Cookie=cookie)
    assert "Max-Age=0" in out.headers["set-cookie"]


def test_a_login_link_works_once(hub, nobody, repo):
    address = urlsplit(hub.login_url(f"/{repo}"))
    link = f"{address.path}?{address.query}"
    first = nobody.page(link)
    assert first.status == 200
    assert f"url=/{repo}" in first.text
    cookie = first.headers["set-cookie"].partition(";")[0]
    assert nobody.page(f"/{repo}", Cookie=cookie).status == 200
    second = nobody.page(link)
    assert (second.status, "set-cookie" in second.headers) == (303, False)
    forged = nobody.page(link[:-1] + ("0" if link[-1] != "0" else "1"))
    assert (forged.status, "set-cookie" in forged.headers) == (303, False)


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/\\evil.example", "x"]
)
def test_signing_in_does_not_redirect_elsewhere(hub, nobody, target):
    address = urlsplit(hub.login_url(target))
    answer = nobody.page(f"/login?{address.query}")
    assert 'url=/"' in answer.text
    assert "evil" not in answer.text


def test_a_hub_without_public_repos_says_so(tmp_path, connect):
    with LocalHub(tmp_path / "hub") as hub:
        visitor, owner = connect(hub.endpoint), connect(hub.endpoint, hub.token)
        assert "No public repos yet." in visitor.page("/").text
        assert "Sign in" in visitor.page("/").text
        assert "No repos yet." in owner.page("/").text


def test_an_empty_repo_and_an_absent_page(wire, nobody, api, repo_id):
    api.create_repo(repo_id, repo_type="dataset")
    assert "No card yet" in nobody.page(f"/datasets/{repo_id}").text
    assert repo_id.partition("/")[2] in nobody.page("/datasets").text
    assert repo_id.partition("/")[2] not in nobody.page("/models").text
    missing = wire.page("/me/never-was")
    assert missing.status == 404
    assert "Repository not found" in missing.text


@pytest.mark.parametrize(
    "text",
    [
        "[" * 3000 + "x",
        ">" * 3000 + "x",
        "*" * 3000 + "x",
        "![" * 3000,
        "<" * 3000,
        "`" * 3000,
        "---\n" + "a: [" * 2000 + "\n---\n# x",
        "\0\ud7ff\uffff",
    ],
)
def test_a_card_cannot_hang_or_crash_the_page(text):
    assert isinstance(render.card(text, "/f", "/p"), str)


@pytest.mark.parametrize("address", ["//[", "http://[x", "//u℀@example.org/p.png"])
def test_a_malformed_url_is_removed(address, recwarn):
    """Browsers load the last of these, although Python's parser rejects it."""
    html = render.card(f'<img src="{address}"> <a href="{address}">x</a>', "/f", "/p")
    assert address not in html
    assert "<img" in html


def test_jobs_lead_to_ones_own(wire, nobody):
    assert wire.page("/jobs").headers["location"] == "/jobs/me"
    assert nobody.page("/jobs").headers["location"] == "/login?next=/jobs"


def test_rows_and_cells_as_text():
    records = render.records("x.jsonl", '{"a": 1}\n\n{"b": [true, null]}\n')
    rows = [["1", ""], ["", "[true, null]"]]
    assert render.table(records) == {"columns": ["a", "b"], "rows": rows, "more": 0}
    assert render.records("x.jsonl", "") == render.records("x.txt", "a,b") == []
    assert len(render.records("x.csv", "a,b\n1\n2,3,4\n")) == 2
    assert render.cell("x" * 5000).endswith(" …")
    assert [render.size(n) for n in (0, 999, 1500, 2_000_000, 3 * 10**12)] == [
        *("0 B", "999 B", "1.5 kB", "2.0 MB", "3000.0 GB")
    ]


def test_a_log_is_read_at_its_end_and_half_lines_are_left_out(tmp_path):
    log = tmp_path / "log.jsonl"
    assert pages.log_lines(log) == []
    line = json.dumps({"data": "x" * 900, "timestamp": ""}) + "\n"
    log.write_text(line * 4000 + '{"data": "torn' + line + line + '{"data": "be')
    lines = pages.log_lines(log)
    assert set(lines) == {"x" * 900}
    assert 1900 < len(lines) <= pages.MAX_LOG_LINES
