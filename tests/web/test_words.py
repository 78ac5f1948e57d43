"""The page: its words in every language, its weight, and which images it may show."""

import gzip
import json
import re
import struct
from base64 import b64encode
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub.hf_api import RepoFile

from palate.web.ballot import walls
from palate.web.ballot.render import chat, markdown
from palate.web.ballot.walls import IMAGE_BYTES, IMAGE_FILE, image_kind, picture

STATIC = Path(__file__).parents[2] / "palate/web/ballot/static"
TEMPLATES = STATIC.parent / "templates"
VOTING = STATIC.parents[1] / "voting"
WON = {f"v_{model}{won}" for model in ("base", "tuned") for won in ("", "_won")}  # put together
WORDS = json.loads((STATIC / "words.json").read_text("utf-8"))
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 3, 2) + b"\x08\x02"
FRAME = b"," + struct.pack("<HHHH", 0, 0, 3, 2) + b"\0"
GIF = b"GIF89a" + struct.pack("<HH", 3, 2) + b"\0\0\0" + FRAME
JPEG = (
    b"\xff\xd8\xff\xe0\0\x04ab" + b"\xff\xc0\0\x11\x08" + struct.pack(">HH", 2, 3) + b"\3\1\x22\0"
)
WEBP = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\x02\0\0\x01\0\0"


def placeholders(text: str) -> list[tuple[str, bool]]:
    return sorted({(name, bool(share)) for name, share in re.findall(r"{(\w+)(%?)", text)})


@pytest.mark.parametrize("language", WORDS)
def test_a_language_has_every_word_with_its_placeholders(language):
    words, english = WORDS[language], WORDS["en"]
    assert list(words) == list(english)
    assert all(words.values())
    differ = [k for k, v in english.items() if placeholders(v) != placeholders(words[k])]
    assert differ == []
    assert not [text for text in words.values() if set(text) & set('<>&"`')]  # put into HTML


@pytest.mark.parametrize(
    ("language", "word"),
    [
        ("de", "aufgehoben|aufheben"),  # which also means cancelled
        ("fr", "pas nettement|nettement meilleur"), ("es", "claramente mejor"),
        ("pt", "claramente melhor"), ("it", "nettamente migliore"),
        ("zh-Hans", "[的致评出]对数"), ("ar", "المحكوم"),  # a logarithm; convicted
    ],  # neither is clearly better where nothing is decided, too
)  # fmt: skip
def test_a_word_with_two_meanings_is_not_used(language, word):
    assert [t for t in WORDS[language].values() if re.search(word, t, re.IGNORECASE)] == []


def test_there_are_many_languages_and_none_is_half_english():
    assert len(WORDS) >= 9
    for language in set(WORDS) - {"en"}:
        same = [k for k, v in WORDS["en"].items() if WORDS[language][k] == v]
        assert len(same) < 12, (language, same)


def test_the_page_says_only_words_that_there_are_and_all_of_them():
    code = "".join(f.read_text("utf-8") for f in STATIC.glob("*.js"))
    page = (STATIC / "index.html").read_text("utf-8")
    pages = "".join(f.read_text("utf-8") for f in TEMPLATES.glob("*.html"))
    pages += "".join(f.read_text("utf-8") for f in VOTING.glob("*.py"))
    named = re.findall(r'data-(?:t|label|title)="(\w+)"', page)
    asked = {*re.findall(r"\bt\('(\w+)'", code), *re.findall(r'\bsay\("(\w+)"[,)]', pages), *named}
    assert asked - set(WORDS["en"]) == set()
    quoted = set(re.findall(r"['\"](\w+)['\"]", code + page + pages)) | WON
    roles = {"user", "assistant", "system", "tool"}  # named by the server
    assert set(WORDS["en"]) - quoted - roles - {"name"} == set()


def test_the_page_is_small_and_asks_for_all_of_it_at_once():
    page = (STATIC / "index.html").read_text("utf-8")
    named = set(re.findall(r'"/ballot/([\w./-]+)"', page))
    loaded = {*named, "inter.woff2"}
    code = {name: (STATIC / name).read_text("utf-8") for name in named if name.endswith(".js")}
    imported = {m for text in code.values() for m in re.findall(r"from '/ballot/([\w./-]+)'", text)}
    imported |= {
        f"vendor/diff/{m}" for m in re.findall(r"from '\./(\w+\.js)'", "".join(code.values()))
    }
    assert imported - named == set()  # no second round of requests
    assert not [name for name in loaded if "katex" in name]
    assert sum(len(gzip.compress((STATIC / n).read_bytes())) for n in loaded) < 150_000


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (PNG, "png"), (GIF, "gif"), (JPEG, "jpeg"), (WEBP, "webp"), (b"<svg/>", None), (b"", None),
        (PNG.replace(struct.pack(">I", 3), struct.pack(">I", 60_000)), None), (PNG[:12], None),
        (GIF[:6], None), (GIF[:13], None), (GIF.replace(FRAME, b"!\xfe\2ab\0" + FRAME), "gif"),
        (JPEG[:9], None), (b"\xff\xd8\xff\xe0" + b"\0" * 40, None),
    ],
)  # fmt: skip
def test_an_image_is_known_by_its_bytes_and_small(content, kind):
    assert image_kind(content) == kind


HUGE = struct.pack(">HH", 65_000, 65_000)


@pytest.mark.parametrize(
    "content",
    [
        # filling before a marker, which a decoder skips, hides it from who takes it for a length
        (b"\xff\xd8\xff\xff\xc0\0\x11\x08" + HUGE).ljust(0xC004, b"\0") + JPEG[8:],
        (b"\xff\xd8\xff\x01\xff\xc0\0\x11\x08" + HUGE).ljust(0xFFC4, b"\0") + JPEG[8:],
        GIF.replace(FRAME, b"," + struct.pack("<HHHH", 0, 0, 65_000, 65_000) + b"\0"),
        GIF.replace(FRAME, b"," + struct.pack("<HHHH", 65_000, 0, 3, 2) + b"\0"),
        WEBP.replace(b"VP8X", b"????"), WEBP.replace(b"WEBP", b"WAVE"),
    ],
)  # fmt: skip
def test_an_image_that_is_larger_than_it_seems_is_none(content):
    assert image_kind(content) is None


@pytest.mark.parametrize(
    ("address", "shown", "refused"),
    [
        (f"data:image/svg+xml;base64,{b64encode(PNG).decode()}", True, False),  # it is a PNG
        (f"data:image/png;base64,{b64encode(b'<svg onload=x>').decode()}", False, True),
        (f"data:image/png;base64,{'A' * (IMAGE_BYTES * 2)}", False, True),
        ("data:image/png;base64,%%%", False, True),
        ("data:text/html;base64,AAAA", False, False),
        ("https://e.example/x.png", False, False),
        ("//e.example/x.png", False, False),
        ("images/a b.png", True, False),
        ("./images/x.webp", True, False),
        ("/etc/x.png", False, False),
        ("images/../../x.png", False, False),
        ("images/x.svg", False, False),
        ("labels/x.jsonl", False, False),
    ],
)
def test_an_image_comes_from_the_text_or_the_projects_repo(address, shown, refused):
    source, refusal = picture(address)
    assert (bool(source), bool(refusal)) == (shown, refused)
    assert source.startswith(("data:image/png;", "/picture/")) or not shown


def test_images_in_a_text_are_named_and_their_data_are_not_cut():
    data = f"data:image/png;base64,{b64encode(PNG + bytes(60_000)).decode()}"
    html = markdown(f'Look: ![a "chart"]({data}) and ![b](https://e.example/x.png)\n\nThe end.')
    assert f'data-picture="{data}"' in html
    assert 'data-alt="a &quot;chart&quot;"' in html
    assert html.count("data-picture") == 1
    assert "https://e.example/x.png" in html
    assert "The end." in html
    assert markdown(f"![a]({data}) " * 9).count("data-picture") == 4
    assert "data-picture" not in markdown("![a](picture:0)")
    assert markdown(f"![a]({data}) ![b](x.png) " * 9).count("data-picture") == 4


def test_the_hub_is_asked_once_about_an_image_of_the_repo(monkeypatch):
    asked = []

    def described(repo: str, paths: list[str], **_: object) -> list[RepoFile]:
        asked.extend(paths)
        return [RepoFile(path=path, size=9, oid="") for path in paths if path == "a.png"]

    monkeypatch.setattr(walls.hub, "api", lambda: SimpleNamespace(get_paths_info=described))
    monkeypatch.setattr(walls.hub, "fetch", lambda *_: [SimpleNamespace(read_bytes=lambda: PNG)])
    for _ in range(3):
        assert walls.repo_image("me/asked", "f" * 40, "a.png") == (PNG, "image/png")
        assert walls.repo_image("me/asked", "f" * 40, "none.png") is None
    assert asked == ["a.png", "none.png"]


def test_a_path_outside_the_repo_is_none():
    for path in ("../x.png", "a/../../x.png", "/x.png", "x.png\n", "x" * 300 + ".png", "x.html"):
        assert not IMAGE_FILE.fullmatch(path), path


def test_a_conversation_is_shown_in_turns_and_a_question_as_it_is():
    turns = [("system", "Be brief."), ("user", "**Hi**"), ('odd"role', "<script>")]
    html = chat([{"role": role, "content": text} for role, text in turns])
    assert re.findall(r'data-role="(\w+)"', html) == ["system", "user", "tool"]
    assert "<strong>Hi</strong>" in html
    assert "<script" not in html
    assert chat([{"role": "user", "content": "**Hi**"}]) == markdown("**Hi**")
