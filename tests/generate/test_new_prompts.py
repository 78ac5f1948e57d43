"""More prompts for a project: which are new, and which split they get."""

from collections import Counter
from dataclasses import replace
from itertools import cycle

import pytest

from palate.core.project import Settings
from palate.core.schema import Prompt, digest
from palate.generate import new_prompts

WORDS = ["tea", "bread", "chess", "rivers", "clocks", "whales", "bridges", "deserts"]


def prompts(n: int, about: str = "history") -> list[Prompt]:
    return [
        Prompt.of(f"Explain the {about} of {w} {i}")
        for i, w in zip(range(n), cycle(WORDS), strict=False)
    ]


def unlike(n: int) -> list[Prompt]:
    """Return prompts none of which is much like another."""
    return [Prompt.of(f"subject {digest(i)}") for i in range(n)]


def there(**sizes: int) -> list[Prompt]:
    rows = prompts(sum(sizes.values()))
    splits = [split for split, n in sizes.items() for _ in range(n)]
    return [replace(p, split=split) for p, split in zip(rows, splits, strict=True)]


def sizes(added: new_prompts.Added) -> Counter[str]:
    return Counter(p.split for p in added.prompts)


def test_new_prompts_become_eval_prompts_until_there_are_enough():
    known = there(train=60, test=9, eval=45)
    new = unlike(40)
    added = new_prompts.place(new, known, Settings())
    assert sizes(added) == {"eval": 15, "train": 19, "test": 6}
    assert {p.id for p in added.prompts} == {p.id for p in new}
    in_order = [p.id for p in new[:15]]
    assert {p.id for p in added.prompts if p.split == "eval"} != set(in_order)


@pytest.mark.parametrize("split", ["train", "test", "eval"])
def test_a_split_that_is_asked_for_takes_all(split):
    new = unlike(4)
    added = new_prompts.place(new, there(eval=60), Settings(), split)
    assert sizes(added) == {split: 4}


def test_what_is_there_or_much_like_it_is_left_out_and_counted():
    known = [Prompt.of("Write a title about a robot that learns to cook pasta")]
    known += [Prompt.of(f"Write a title about {w}") for w in WORDS]
    new = [
        known[0],
        Prompt.of("write a title about a  robot that learns to cook pasta"),
        Prompt.of("Write a title about a robot that learns to cook pasta."),
        Prompt.of("Write a title about a lighthouse keeper and the winter storms"),
        Prompt.of("Write a title about a lighthouse keeper and the winter storm"),
        Prompt.of("Write a title about the last typewriter factory"),
    ]
    added = new_prompts.place([*new, new[-1]], known, Settings())
    assert {p.text for p in added.prompts} == {new[3].text, new[5].text}
    assert (added.known, added.near) == (2, 3)


def test_prompts_are_added_to_the_project_in_one_commit(hub, repo_id):
    from palate.collect import importing
    from palate.core.project import Project

    importing.start_project(repo_id, prompts(20), Settings())
    new = [Prompt.of("a lighthouse in winter", model="me/writer", revision="abc")]
    project, added = new_prompts.add(repo_id, new, None)
    assert [p.split for p in added.prompts] == ["eval"]
    row = next(p for p in Project.load(repo_id).prompts if p.id == new[0].id)
    assert (row.split, row.model, row.revision) == ("eval", "me/writer", "abc")
    again, added = new_prompts.add(repo_id, new, None)
    assert (again.revision, added.prompts, added.known) == (project.revision, [], 1)
