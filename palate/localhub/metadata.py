"""The front matter of a card: parsing, checks, and the tags derived from it."""

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
    """Refuses aliases: a few lines of them can expand to gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not supported")
        return super().compose_node(parent, index)


def _plain(value: object) -> object:
    """Return `value` in the types of JSON; dates and the like become text."""
    if isinstance(value, dict):
        return {_plain(str(k)): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        return None
    if value is None or isinstance(value, int):
        return value
    return str(value).encode("utf-8", "replace").decode()  # an escape can name half a character


def front_matter(text: str) -> dict | None:
    """Return the mapping at the top of a card, None if there is none; ValueError if malformed."""
    match = FRONT_MATTER.match(text)
    if not match:
        return None
    try:
        value = yaml.load(match[1], _Loader)  # derived from SafeLoader
        json.dumps(value, default=str)
    # PyYAML's constructors raise all of these, for example for `!!bool x` and `!!int ''`
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
        raise ValueError("the metadata must map names to values")
    return None if value is None else {str(_plain(str(k))): _plain(v) for k, v in value.items()}


def body(text: str) -> str:
    """Return the card without its front matter."""
    match = FRONT_MATTER.match(text)
    return text[match.end() :] if match else text


def card_data(text: str | None) -> dict | None:
    """Return the front matter of a card, None if it is missing or malformed."""
    try:
        return front_matter(text or "")
    except ValueError:
        return None


def problem(text: str) -> str | None:
    """Return why the Hub refuses a card, or None."""
    try:
        data = front_matter(text) or {}
    except ValueError as e:
        return str(e)
    names = as_list(data.get("license"))
    for name in names:
        if name not in LICENSES.split():
            return (
                f'"license" must be one of [apache-2.0, mit, cc-by-4.0, other, ...], not {name!r}; '
                "for your own licence use license: other, with license_name and license_link"
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
    """Return the strings in one value or in a list of values."""
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, str)]


def tags(data: dict) -> list[str]:
    """Return the tags by which clients filter repos."""
    names = as_list(data.get("library_name")) + as_list(data.get("pipeline_tag"))
    names += as_list(data.get("tags"))
    for key in ("license", "language", "task_categories", "size_categories"):
        names += [f"{key}:{v}" for v in as_list(data.get(key))]
    names += [f"dataset:{v}" for v in as_list(data.get("datasets"))]
    names += [f"base_model:{v}" for v in as_list(data.get("base_model"))]
    return list(dict.fromkeys(names))
