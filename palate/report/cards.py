"""What both cards share: text from a template and facts, and the commit of what differs.

`model_card` and `dataset_card` make them from data alone. A fact that is missing is an error, never
a blank.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from palate.core import hub, markdown
from palate.core.paths import shipped

if TYPE_CHECKING:
    from huggingface_hub import CardData, EvalResultEntry

Files = dict[str, str | bytes]  # by repo path
EXAMPLE_CHARACTERS = 300
RESULTS_FILE = ".eval_results/palate.yaml"  # where the Hub looks for results


def push(repo: str, kind: hub.RepoType, render: Callable[[str, Sequence[str]], Files]) -> str:
    """Commit the card's files if they differ; return the repo's URL.

    `render` gets the head's commit hash and the paths of its files.
    """

    def build(sha: str, have: list[str]) -> hub.Change[None]:
        files = render(sha, have)
        ours = rf"plots/[^/]+\.svg|{re.escape(RESULTS_FILE)}"
        stale = [p for p in have if re.fullmatch(ours, p) and p not in files]
        if not stale and not hub.differ(repo, kind, sha, have, files):
            return hub.Change(None)
        return hub.Change(None, "Render the card", files, stale)

    hub.update(repo, kind, build)
    return f"{hub.endpoint()}/{'datasets/' if kind == 'dataset' else ''}{repo}"


def document(head: "CardData", template: str, **facts: object) -> str:
    """Return the text of a card: front matter, and the template filled with facts."""
    body = markdown.render(shipped("cards") / template, facts)
    return f"---\n{head.to_yaml()}\n---\n\n{body}"


def with_pictures(readme: str, pictures: Mapping[str, str]) -> Files:
    """Return the card's files; `pictures` are SVGs by name."""
    return {"README.md": readme} | {f"plots/{k}.svg": v for k, v in pictures.items()}


def results_file(results: "Sequence[EvalResultEntry]") -> Files:
    """Return the file with the results, in the Hub's own format; none without results."""
    import yaml
    from huggingface_hub import eval_result_entries_to_yaml

    if not results:
        return {}
    rows = eval_result_entries_to_yaml(list(results))
    return {RESULTS_FILE: yaml.safe_dump(rows, sort_keys=False)}


def result_notes(interval: Sequence[float] | None, *facts: str) -> str:
    """Return the notes of a result: its 95% interval, then other facts."""
    bounds = [f"95% interval {interval[0]:.4f} to {interval[1]:.4f}"] if interval else []
    return "; ".join([*bounds, *facts])


def hub_license(name: str) -> tuple[str, str | None]:
    """Return the front matter's `license` and `license_name`.

    The Hub refuses identifiers that it does not know, so such a licence is `other` with a name.
    """
    # from https://huggingface.co/docs/hub/repositories-licenses
    known = (shipped("cards") / "licenses.txt").read_text("utf-8").split()
    if name in known:
        return name, None
    return "other", re.sub(r"[^a-z0-9.]+", "-", name.casefold())


def shorten(value: object) -> object:
    """Return JSON-like data with long strings cut."""
    if isinstance(value, str) and len(value) > EXAMPLE_CHARACTERS:
        return value[:EXAMPLE_CHARACTERS] + " …"
    if isinstance(value, list):
        return [shorten(x) for x in value]
    return {k: shorten(v) for k, v in value.items()} if isinstance(value, dict) else value
