"""The front matter of a card: read, checked, and the tags that follow from it."""

import json
import math
import re

import yaml

FRONT_MATTER = re.compile(r"\s*---[ \t]*\r?\n(.*?)^---[ \t]*\r?(?:\n|\Z)", re.DOTALL | re.MULTILINE)
LICENSES = """
afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bigscience-bloom-rail-1.0 bigscience-openrail-m bsd
bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0
cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0
cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m
deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2
fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 intel-research isc lgpl
lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit mpl-2.0
ms-pl ncsa odbl odc-by ofl-1.1 open-mdw openrail openrail++ osl-3.0 other pddl postgresql
unknown unlicense wtfpl zlib
"""


class _Loader(yaml.SafeLoader):
    """Refuses aliases: a few lines of them can stand for gigabytes."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not supported")
        return super().compose_node(parent, index)


def _plain(value: object) -> object:
    """`value` in what JSON has; dates and the like as text."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        return None
    return value if value is None or isinstance(value, str | int) else str(value)


def front_matter(text: str) -> dict | None:
    """The mapping at the top of a card, None where there is none; `ValueError` if it is wrong."""
    found = FRONT_MATTER.match(text)
    if not found:
        return None
    try:
        value = yaml.load(found[1], _Loader)  # derived from SafeLoader
        json.dumps(value, default=str)
    # PyYAML's constructors trip over values such as `!!bool x` and `!!int ''`
    except (
        yaml.YAMLError,
        RecursionError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
    ) as e:
        raise ValueError(f"YAML: {str(e)[:300]}") from None
    if value is not None and not isinstance(value, dict):
        raise ValueError("the metadata has to be a mapping of names to values")
    return None if value is None else {str(k): _plain(v) for k, v in value.items()}


def body(text: str) -> str:
    """The card without its front matter."""
    found = FRONT_MATTER.match(text)
    return text[found.end() :] if found else text


def card_data(text: str | None) -> dict | None:
    """The front matter of a card that may be wrong or missing."""
    try:
        return front_matter(text or "")
    except ValueError:
        return None


def problem(text: str) -> str | None:
    """What the Hub refuses in a card, or None."""
    try:
        data = front_matter(text) or {}
    except ValueError as e:
        return str(e)
    names = as_list(data.get("license"))
    for name in names:
        if name not in LICENSES.split():
            return (
                f'"license" must be one of [apache-2.0, mit, cc-by-4.0, other, ...], not {name!r}; '
                "for a licence of your own: license: other, with license_name and license_link"
            )
    return _index_problem(data.get("model-index"))


def _index_problem(index: object) -> str | None:
    if index is None:
        return None
    if not isinstance(index, list):
        return '"model-index" must be a list'
    for i, model in enumerate(index):
        results = model.get("results") if isinstance(model, dict) else None
        if not isinstance(results, list):
            return f'"model-index[{i}].results" must be a list'
        for j, result in enumerate(results):
            for key in ("task", "dataset", "metrics"):
                if not isinstance(result, dict) or key not in result:
                    return f'"model-index[{i}].results[{j}].{key}" is required'
    return None


def as_list(value: object) -> list[str]:
    """One text or a list of them, as the list."""
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, str)]


def tags(data: dict) -> list[str]:
    """The tags by which clients filter repos."""
    found = as_list(data.get("library_name")) + as_list(data.get("pipeline_tag"))
    found += as_list(data.get("tags"))
    for key in ("license", "language", "task_categories", "size_categories"):
        found += [f"{key}:{v}" for v in as_list(data.get(key))]
    found += [f"dataset:{v}" for v in as_list(data.get("datasets"))]
    found += [f"base_model:{v}" for v in as_list(data.get("base_model"))]
    return list(dict.fromkeys(found))
