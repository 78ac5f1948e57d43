"""Where the loop stands: counts at each step, and the command that comes next."""

from collections import Counter
from dataclasses import dataclass

from palate.core import hub, ledger
from palate.core.project import Project
from palate.core.schema import pairs_of
from palate.label import preferences


@dataclass(frozen=True)
class Step:
    """One station of the loop: what is there, in words, and whether it is done."""

    name: str
    done: bool
    facts: str
    command: str  # what to run when this is the next step


def steps(project: Project) -> list[Step]:
    """Return the loop's stations in order, as the project's revision has them."""
    p = project.id
    prompts, candidates = project.prompts, project.candidates
    split = {x.id: x.split for x in prompts}
    size = Counter(split.values())
    ours = [c for c in candidates if split.get(c.prompt_id) in ("train", "test")]
    pairs = pairs_of(ours)
    standing = ledger.standing_judgements(project.labels)
    kinds = Counter(e.kind for e in standing)
    judged = len({e.pair_id for e in standing})
    rows = project.preferences
    blind = [c for c in candidates if split.get(c.prompt_id) == "eval" and c.model]
    votes = ledger.standing_judgements(project.evaluations)
    sha, files = _model(project)
    stale = len(rows) != len(preferences.rebuild(prompts, candidates, standing).all())
    trained = sha is not None
    return [
        Step(
            "prompts",
            bool(prompts),
            f"{len(prompts):,}: {size['train']:,} train, {size['test']:,} test,"
            f" {size['eval']:,} eval",
            f"palate init {p} --prompts FILE",
        ),
        Step(
            "candidates",
            bool(pairs),
            f"{len(ours):,}, which make {len(pairs):,} pairs",
            f"palate candidates {p}",
        ),
        Step(
            "labels",
            kinds["label"] > 0,
            f"{kinds['label'] + kinds['rewrite']:,} choices,"
            f" {kinds['tie'] + kinds['both_bad']:,} ties and both bad, {kinds['skip']:,} skips on"
            f" {judged:,} pairs by {len({e.annotator for e in standing}):,} people",
            f"palate label {p}",
        ),
        Step(
            "preferences",
            bool(rows) and not stale,
            f"{len(rows):,}" + (", older than the labels" if stale and rows else ""),
            f"palate export {p}",
        ),
        Step(
            "model",
            trained,
            f"{project.model_repo} at {sha[:7]}" if sha else "none yet",
            f"palate train {p}",
        ),
        Step(
            "completions",
            bool(blind),
            f"{len(blind):,} on eval prompts",
            f"palate completions {p}",
        ),
        Step("votes", bool(votes), f"{len(votes):,} blind", f"palate evaluate {p}"),
        Step(
            "verdict",
            "verdict.json" in files,
            "on the card" if "verdict.json" in files else "none yet",
            f"palate verdict {p}",
        ),
    ]


def _model(project: Project) -> tuple[str | None, list[str]]:
    if not hub.exists(project.model_repo, "model"):
        return None, []
    sha, files = hub.describe(project.model_repo, "model")
    return (sha, files) if "run.json" in files else (None, files)


def picture(project: Project, stations: list[Step]):
    """Return the loop as a rich renderable: a rail of stations, the next one marked."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    following = next((s for s in stations if not s.done), None)
    table = Table.grid(padding=(0, 2))
    for s in stations:
        mark, style = ("●", "green") if s.done else ("○", "dim")
        if s is following:
            mark, style = "▶", "bold yellow"
        table.add_row(Text(f"{mark} {s.name}", style), Text(s.facts, "" if s.done else "dim"))
    title = Text.assemble((project.id, "bold"), f"  at {project.revision[:7]} on {hub.endpoint()}")
    command = following.command if following else f"palate candidates {project.id}"
    why = "next" if following else "next round"
    return Group(
        title, Text(""), table, Text(""), Text.assemble(f"{why}: ", (command, "bold cyan"))
    )
