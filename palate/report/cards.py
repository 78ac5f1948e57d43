"""Cards: rendered from data alone, pushed when they differ.

A model's card follows from its `run.json` and `verdict.json`, a dataset's from the project's rows.
A fact that is missing is an error, never a blank.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any, TypeVar

from palate.core import hub, ledger, markdown
from palate.core.errors import BadInput, UsageError
from palate.core.paths import shipped
from palate.core.project import Project
from palate.core.schema import ROWS, SPLITS, Config, Event, features
from palate.core.stats import wilson
from palate.evaluate.judging import JudgeReport
from palate.evaluate.pictures import verdict_pictures
from palate.evaluate.verdict import Verdict
from palate.label import agreement, preferences
from palate.label.pictures import how_people_label, strengths
from palate.report import plots
from palate.train import record, taste
from palate.train.record import DPORecord, SFTRecord
from palate.train.samples import Example

Files = dict[str, str | bytes]
Run = DPORecord | SFTRecord
Report = TypeVar("Report", Verdict, JudgeReport)
EXAMPLE_CHARACTERS = 300
ADAPTERS = ("lora", "qlora")
RULES = {
    "bag of words": "a bag of words (logistic regression on one- and two-word phrases)",
    "length": "a rule by length alone",
}


def push_model_card(project_id: str) -> str:
    """Render the model's card from its `run.json` and `verdict.json`; return the model's URL.

    Commits only what differs. Raises UsageError where nothing has been trained yet.
    """
    repo = Project.load(project_id).model_repo

    def render(sha: str, have: Sequence[str]) -> Files:
        if "run.json" not in have:
            raise UsageError(
                f"The model repo {repo} holds no run.json, so there is nothing to make a card of."
                f" Train with: palate train {project_id}"
            )
        run = _read_run(repo, sha)
        verdict = judge = None
        if "verdict.json" in have:
            stored = _read_json(repo, sha, "verdict.json")
            verdict = _of_this_round(repo, run, Verdict.from_json(stored, f"{repo}/verdict.json"))
        if "judge.json" in have:
            stored = _read_json(repo, sha, "judge.json")
            judge = _of_this_round(repo, run, JudgeReport.from_json(stored, f"{repo}/judge.json"))
        return model_files(run, verdict, judge)

    return _push(repo, "model", render)


def push_dataset_card(project_id: str) -> str:
    """Render the project's dataset card from its rows; return the dataset's URL."""
    return _push(project_id, "dataset", lambda sha, _: dataset_files(Project.load(project_id, sha)))


def _of_this_round(repo: str, run: Run, report: Report) -> Report | None:
    """Return the report, or None where it is about the weights of an earlier round."""
    return report if _read_run(repo, report.tuned.revision) == run else None


def _push(repo: str, kind: hub.RepoType, render: Callable[[str, Sequence[str]], Files]) -> str:
    def build(sha: str, have: list[str]) -> hub.Change[None]:
        files = render(sha, have)
        stale = [p for p in have if re.fullmatch(r"plots/[^/]+\.svg", p) and p not in files]
        if not stale and not hub.differ(repo, kind, sha, have, files):
            return hub.Change(None)
        return hub.Change(None, "Render the card", files, stale)

    hub.update(repo, kind, build)
    return f"{hub.endpoint()}/{'datasets/' if kind == 'dataset' else ''}{repo}"


def _read(repo: str, revision: str, path: str) -> str:
    return hub.fetch(repo, "model", revision, [path])[0].read_text("utf-8")


def _read_run(repo: str, revision: str) -> Run:
    return record.parse(_read(repo, revision, "run.json"), f"{repo}/run.json")


def _read_json(repo: str, revision: str, path: str) -> Any:
    try:
        return json.loads(_read(repo, revision, path))
    except json.JSONDecodeError as error:
        raise BadInput(f"{repo}/{path}", f"not JSON: {error}") from None


def model_files(
    run: Run,
    verdict: Verdict | None = None,
    judge: JudgeReport | None = None,
) -> Files:
    """Return README.md and plots/*.svg of a model, by repo path. Pure.

    A `judge` is shown only where people voted on the same pairs. A warm start has a card of its
    own, which knows no verdict.
    """
    if isinstance(run, SFTRecord):
        return _sft_files(run)
    pictures = plots.training_curves(run.history)
    if verdict:
        pictures |= verdict_pictures(verdict)
    readme = _document(
        _model_head(run, verdict),
        "model.md.j2",
        run=run,
        verdict=verdict,
        judge=judge if judge and judge.agreement.n else None,
        pictures=set(pictures),
        adapter=run.method in ADAPTERS,
        shown=_examples(run.samples.examples),
        baselines=RULES,
    )
    return _files(readme, pictures)


def _sft_files(run: SFTRecord) -> Files:
    pictures = plots.training_curves(run.history, plots.ANSWER_CURVES)
    readme = _document(
        _head(run, "sft"),
        "sft.md.j2",
        run=run,
        pictures=set(pictures),
        adapter=False,
        shown=_examples(run.samples.examples),
    )
    return _files(readme, pictures)


def _files(readme: str, pictures: Mapping[str, str]) -> Files:
    return {"README.md": readme} | {f"plots/{k}.svg": v for k, v in pictures.items()}


def _examples(examples: Sequence[Example]) -> dict[str, Any]:
    """Return base and tuned answers as the card's table shows them.

    What all prompts begin and end with is left out, as they are one template filled in.
    """
    prompts = [e.prompt for e in examples]
    start = _common(prompts)
    end = _common([p[start:][::-1] for p in prompts])
    cut = len(examples) > 2 and start + end >= 40
    if cut:
        prompts = [p[start : len(p) - end].strip() for p in prompts]
    rows = [_shorten({**vars(e), "prompt": p}) for e, p in zip(examples, prompts, strict=True)]
    return {"cut": cut, "examples": rows}


def _common(texts: Sequence[str]) -> int:
    """Return how many characters all texts begin with alike, up to the end of a word."""
    ends = zip(min(texts, default=""), max(texts, default=""), strict=False)
    alike = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], ends))
    return max((m.end() for m in re.finditer(r"\W", alike)), default=0)


def _model_head(run: DPORecord, verdict: Verdict | None) -> Any:
    results = _eval_results(run, verdict)
    name = run.model.split("/")[-1]
    known = {"model_name": name, "eval_results": results} if results else {}
    return _head(run, "dpo", adapter=run.method in ADAPTERS, **known)


def _head(run: Run, job: str, *, adapter: bool = False, **results: Any) -> Any:
    from huggingface_hub import ModelCardData

    return ModelCardData(
        base_model=run.base_model,
        base_model_relation="adapter" if adapter else "finetune",
        datasets=[run.project],
        library_name="peft" if adapter else "transformers",
        pipeline_tag="text-generation",
        tags=["palate", job, "trl", "preference", *([run.method] if adapter else [])],
        **_license(run.license),
        **results,
    )


def _eval_results(run: DPORecord, verdict: Verdict | None) -> list[Any]:
    from huggingface_hub import EvalResult

    common: dict[str, Any] = {
        "task_type": "text-generation",
        "dataset_type": run.project,
        "dataset_name": run.project,
    }
    results, test = [], run.results
    if test.test_reward_accuracy is not None and test.test_reward_accuracy_interval is not None:
        results.append(
            EvalResult(
                **common,
                dataset_config="preferences",
                dataset_split="test",
                dataset_revision=run.data_revision,
                metric_type="accuracy",
                metric_name="Test reward accuracy",
                metric_value=round(test.test_reward_accuracy, 4),
                metric_args={
                    "interval_95": [round(x, 4) for x in test.test_reward_accuracy_interval],
                    "rows": test.test_rows,
                },
            )
        )
    if verdict:
        results.append(
            EvalResult(
                **common,
                dataset_config="evaluations",
                metric_type="win_rate",
                metric_name="Blind win rate against the base model",
                metric_value=round(verdict.win_rate, 4),
                metric_args={
                    "interval_95": [round(x, 4) for x in verdict.interval],
                    "votes": verdict.votes,
                    "ties": verdict.ties,
                },
            )
        )
    return results


def dataset_files(project: Project) -> Files:
    """Return README.md and plots/*.svg of the project's dataset, by repo path."""
    events = project.labels
    standing = ledger.standing_judgements(events)
    labels = [e for e in standing if e.kind == "label"]
    strength = Counter(e.strength for e in labels if e.strength)
    people = agreement.report(events, project.candidates)
    pictures = {}
    if people.left.n:
        pictures["rates"] = how_people_label(people)
    if strength:
        pictures["strengths"] = strengths(strength)
    configs = [config for config in ROWS if project.paths(config)]
    readme = _document(
        _dataset_head(project, configs),
        "dataset.md.j2",
        project=project,
        configs={config: len(project.read(config)) for config in configs},
        prompts=Counter(p.split for p in project.prompts),
        models=Counter((c.model, c.revision) for c in project.candidates),
        kinds=Counter(e.kind for e in events),
        standing=Counter(e.kind for e in standing),
        annotators=Counter(e.annotator for e in standing),
        strength=strength,
        report=people,
        guidelines=project.guidelines,
        **_preference_facts(project, events),
        schema={config: {k: _type(v) for k, v in features(config).items()} for config in configs},
        pictures=set(pictures),
    )
    return _files(readme, pictures)


def _preference_facts(project: Project, events: Sequence[Event]) -> dict[str, Any]:
    """Return what stands in the preference files, and what the ledger says should."""
    prompts = project.prompts
    rows = project.preferences
    split = {p.id: p.split for p in prompts}
    rebuilt = preferences.rebuild(prompts, project.candidates, events)
    return {
        "preferences": Counter(split.get(row.prompt_id, "train") for row in rows),
        "labelled": len({row.prompt_id for row in rows}),
        "implied": sum(row.source == "implied" for row in rows),
        "left_out": rebuilt.left_out,
        "stale": sum(map(len, rebuilt.rows.values())) - len(rows),
        "taste": taste.sentence(rows) if rows else "",
        "example": _shorten(json.loads(ledger.to_json(rows[0]))) if rows else None,
    }


def _shorten(value: Any) -> Any:
    if isinstance(value, str) and len(value) > EXAMPLE_CHARACTERS:
        return value[:EXAMPLE_CHARACTERS] + " …"
    if isinstance(value, list):
        return [_shorten(x) for x in value]
    return {k: _shorten(v) for k, v in value.items()} if isinstance(value, dict) else value


def _type(feature: Any) -> str:
    if isinstance(feature, dict):
        return "{" + ", ".join(feature) + "}"
    return feature.dtype if hasattr(feature, "dtype") else f"list of {_type(feature.feature)}"


def _dataset_head(project: Project, configs: Sequence[Config]) -> Any:
    """Return the front matter: configs that have files, each with its exact types."""
    from datasets.info import DatasetInfo, DatasetInfosDict
    from huggingface_hub import DatasetCardData

    head = DatasetCardData(
        pretty_name=project.id.split("/")[-1],
        task_categories=["text-generation"],
        size_categories=[_size(len(project.preferences))],
        tags=["palate", "preference", "dpo", "trl", "human-feedback"],
        configs=[_config(project, config) for config in configs],
        **_license(project.settings.license),
    )
    infos: dict[str, Any] = {c: DatasetInfo(features=features(c)) for c in configs}
    DatasetInfosDict(infos).to_dataset_card_data(head)
    return head


def _config(project: Project, config: Config) -> dict[str, Any]:
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


def _license(name: str) -> dict[str, Any]:
    """Return the licence as the Hub takes it; it refuses a card with any other identifier."""
    # from https://huggingface.co/docs/hub/repositories-licenses
    known = (shipped("cards") / "licenses.txt").read_text("utf-8").split()
    if name in known:
        return {"license": name}
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.]+", "-", name.casefold())}


def _document(head: Any, template: str, **facts: Any) -> str:
    body = markdown.render(shipped("cards") / template, facts | {"wilson": wilson})
    return f"---\n{head.to_yaml()}\n---\n\n{body}"
