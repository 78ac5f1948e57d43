"""A dataset's card: from the project's rows and verdicts alone."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from palate.core import hub, ledger
from palate.core.project import Project
from palate.core.rounds import by_aspect, weights_of
from palate.core.schema import ROWS, SPLITS, Config, Event, Preference
from palate.evaluate.pictures import rated_models
from palate.evaluate.ratings import RatingList, ratings
from palate.evaluate.verdict import Verdict
from palate.label import agreement
from palate.label.agreement_text import how_people_label, strengths
from palate.label.preferences import of_aspects
from palate.report import comparison
from palate.report.cards import Files, document, hub_license, push, shorten, with_pictures
from palate.report.features import features
from palate.train.rows.data import preference_sentence

if TYPE_CHECKING:
    from datasets import Features
    from huggingface_hub import DatasetCardData


def push_dataset_card(
    project_id: str, known: Mapping[str, Sequence[Preference]] | None = None
) -> str:
    """Render the project's dataset card and push it; return the dataset's URL.

    `known`: by commit, the rows of the preference files, which then need not be read.
    """

    def render(sha: str, _: Sequence[str]) -> Files:
        project = Project.load(project_id, sha)
        spaces = [f"{project_id}-{kind}" for kind in ("label", "evaluate")]
        spaces = [space for space in spaces if hub.exists(space, "space")]
        rows = (known or {}).get(sha)
        return dataset_files(project, rows, trained=project.is_trained(), spaces=spaces)

    return push(project_id, "dataset", render)


def dataset_files(
    project: Project,
    preferences: Sequence[Preference] | None = None,
    *,
    trained: bool = False,
    spaces: Sequence[str] = (),
) -> Files:
    """Return README.md and plots/*.svg of the project's dataset.

    `preferences`: the rows of its preference files; None to read them. `trained` and `spaces`:
    whether the project's model exists, and which Spaces, for links.
    """
    if preferences is None:
        preferences = project.read("preferences")
    standing = ledger.standing_judgements(project.labels)
    strength = Counter(e.strength for e in standing if e.kind == "label" and e.strength)
    people = agreement.report(project.labels, project.candidates)
    verdict, compared = _verdict(project), comparison.stored(project)
    base = verdict.base if verdict else compared.entries[0].model if compared else None
    rated = ratings(project.evaluations, project.candidates, base)
    pictures = _pictures(people, strength, rated)
    configs = [config for config in ROWS if project.paths(config)]
    types = {config: features(config, aspects=_has_aspects(project, config)) for config in configs}
    readme = document(
        _dataset_head(project, types, len(preferences)),
        "dataset.md.j2",
        project=project,
        trained=trained,
        spaces=spaces,
        verdict=verdict,
        compared=compared,
        columns=comparison.HEAD,
        rated=rated,
        configs={
            config: len(preferences if config == "preferences" else project.read(config))
            for config in configs
        },
        strength=strength,
        report=people,
        guidelines=project.guidelines,
        **_counts(project, standing),
        **_preference_facts(project, preferences),
        schema={config: {k: _type(v) for k, v in types[config].items()} for config in configs},
        by_aspect=[_aspect(one) for one in by_aspect(project) if one.aspect],
        weights=weights_of(project.settings),
        pictures=set(pictures),
    )
    return with_pictures(readme, pictures)


def _pictures(
    people: agreement.Report, strength: Mapping[int, int], rated: Sequence[RatingList]
) -> dict[str, str]:
    """Return the card's pictures for which there is something to draw, by name."""
    pictures = {}
    if people.left.n:
        pictures["rates"] = how_people_label(people)
    if strength:
        pictures["strengths"] = strengths(strength)
    if rated:
        pictures["models"] = rated_models(rated[0])
    return pictures


def _counts(project: Project, standing: Sequence[Event]) -> dict[str, object]:
    """Return how many prompts, answers and judgements there are, by what tells them apart."""
    prompts = project.prompts
    return {
        "prompts": Counter(p.split for p in prompts),
        "written": Counter((p.model, p.revision or "", p.split) for p in prompts if p.model),
        "models": Counter((c.model, c.revision) for c in project.candidates),
        "kinds": Counter(e.kind for e in project.labels),
        "excluded": len(project.people.excluded & {e.annotator for e in project.read("labels")}),
        "standing": Counter(e.kind for e in standing),
        "annotators": Counter(e.annotator for e in standing),
    }


def _verdict(project: Project) -> Verdict | None:
    """Return the verdict on the votes that were counted last, None without any."""
    paths = [p for p in project.files if p.startswith("verdicts/") and p.endswith(".json")]
    files = hub.fetch(project.id, "dataset", project.revision, paths) if paths else []
    verdicts = [
        Verdict.from_json(json.loads(file.read_text("utf-8")), f"{project.id}/{path}")
        for path, file in zip(paths, files, strict=True)
    ]
    return max(verdicts, key=lambda verdict: verdict.time, default=None)


def _has_aspects(project: Project, config: Config) -> bool:
    """Tell whether rows of the config say in which aspect, or will."""
    rows = project.read(config)
    return bool(project.aspect) or any(getattr(row, "aspect", None) for row in rows)


def _aspect(project: Project) -> dict[str, object]:
    """Return the card's facts about the labels in the project's aspect."""
    kinds = Counter(e.kind for e in ledger.standing_judgements(project.labels))
    people = agreement.report(project.labels, project.candidates)
    return {"name": project.aspect, "kinds": kinds, "report": people,
            "preferences": len(project.preferences)}  # fmt: skip


def _preference_facts(project: Project, rows: Sequence[Preference]) -> dict[str, object]:
    """Return the card's facts about the rows of the preference files, compared with the labels."""
    prompts = project.prompts
    split = {p.id: p.split for p in prompts}
    rebuilt = of_aspects(project)
    own = [row for row in rows if row.aspect == project.aspect]
    return {
        "preferences": Counter(split.get(row.prompt_id, "train") for row in rows),
        "labelled": len({row.prompt_id for row in rows}),
        "implied": sum(row.source == "implied" for row in rows),
        "left_out": rebuilt.left_out,
        "stale": sum(map(len, rebuilt.rows.values())) - len(rows),
        "taste": preference_sentence(own) if own else "",
        "example": shorten(json.loads(ledger.to_json(rows[0]))) if rows else None,
    }


def _type(feature: object) -> str:
    """Return the name of a `datasets` feature's type."""
    from datasets import List, Value

    if isinstance(feature, dict):
        return "{" + ", ".join(feature) + "}"
    if isinstance(feature, List):
        return f"list of {_type(feature.feature)}"
    assert isinstance(feature, Value)
    return feature.dtype


def _dataset_head(
    project: Project, types: "Mapping[Config, Features]", preferences: int
) -> "DatasetCardData":
    """Return the front matter: the configs that have files, each with its exact `types`."""
    from datasets.info import DatasetInfo, DatasetInfosDict
    from huggingface_hub import DatasetCardData

    license_id, license_name = hub_license(project.settings.license)
    head = DatasetCardData(
        pretty_name=project.id.split("/")[-1],
        task_categories=["text-generation"],
        size_categories=[_size(preferences)],
        tags=["palate", "preference", "dpo", "trl", "human-feedback"],
        configs=[_config(project, config) for config in types],
        license=license_id,
        license_name=license_name,
    )
    infos: dict[str, DatasetInfo] = {c: DatasetInfo(features=own) for c, own in types.items()}
    DatasetInfosDict(infos).to_dataset_card_data(head)
    return head


def _config(project: Project, config: Config) -> dict[str, object]:
    if config != "preferences":
        return {"config_name": config, "data_files": f"{config}/*.jsonl"}
    files = [
        {"split": split, "path": path}
        for split in SPLITS
        if (path := f"preferences/{split}.jsonl") in project.files
    ]
    return {"config_name": config, "default": True, "data_files": files}


def _size(rows: int) -> str:
    if rows < 1_000:
        return "n<1K"
    bounds = ((10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    return next((name for bound, name in bounds if rows < bound), "1M<n<10M")
