"""An audit as JSON. Pure: no I/O."""

from collections.abc import Sequence
from dataclasses import asdict

from palate.audit import groups
from palate.audit.baselines import Accuracy
from palate.audit.finding import Finding
from palate.audit.findings import EPOCHS
from palate.audit.fit import cost
from palate.audit.measure import Audit, Fit


def to_json(audit: Audit, findings: Sequence[Finding]) -> dict[str, object]:
    """Return all figures as JSON types; the keys that scripts need first hold plain numbers."""
    a = audit

    return {
        "source": a.source,
        "rows": a.rows,
        "usable_rows": a.usable,
        "problems": {what: len(n) for what, n in a.problems.items()},
        "prompts": a.prompts,
        "texts": a.texts,
        "candidates_per_prompt": {str(k): n for k, n in sorted(a.candidates.items())},
        "annotators": a.annotators,
        "annotators_known": a.named,
        "annotators_excluded": a.excluded,
        "splits": a.splits,
        "choices": a.kinds,
        "identical_pairs": len(a.identical),
        "duplicates": a.duplicates,
        "contradictions": a.contradictions,
        "doubted_by_reward": [asdict(x) for x in a.doubted],
        "cyclic_triads": a.cycles.hits,
        "triads": a.cycles.n,
        "leaks": [
            {"split": x.split, "rows": x.rows, "prompts": x.prompts, "alike": x.alike,
             "texts": x.texts, "lookup_accuracy": _rate(x.lookup)} for x in a.leaks
        ],
        "row_split_lookup_accuracy": _rate(a.lookup.get("by row")),
        "prompt_split_lookup_accuracy": _rate(a.lookup.get("by prompt")),
        "row_split_baseline_accuracy": _rate(a.baseline.get("by row")),
        "baseline_accuracy": _rate(a.baseline.get("by prompt")),
        "baseline": {k: v.to_json() for k, v in a.baseline.items()},
        "length_rule": a.length_rule.to_json() if a.length_rule else None,
        "rows_sampled_for_baselines": a.sampled,
        "longer_chosen": a.longer.rate,
        "longer": a.longer.to_json(),
        "second_side_chosen": a.second.rate if a.second else None,
        "second_side": a.second.to_json() if a.second else None,
        "formats": {name: r.to_json() for name, r in a.formats.items()},
        "words": a.words,
        "groups_by_taste": groups.to_json(a.groups) if a.groups else None,
        "tokens": _fit_json(a.fit) if a.fit else None,
        "findings": [f.to_json() for f in findings],
    }  # fmt: skip


def _rate(accuracy: Accuracy | None) -> float | None:
    return None if accuracy is None else accuracy.rate


def _fit_json(f: Fit) -> dict[str, object]:
    return {
        "model": f.model, "parameters": f.parameters, "problem": f.problem or None,
        "max_length": f.max_length, "overlong_rows": len(f.overlong),
        "changed_prompts": len(f.changed_prompts), "closes_with_eos": f.ends,
        "positions": f.positions, **f.tokens, **(cost(f, EPOCHS) if f.positions else {}),
    }  # fmt: skip
