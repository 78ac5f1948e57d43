"""Files for other tools: what palate writes, palate reads back to the same preferences."""

import json

from palate.collect import importing, pairs, tables, thumbs
from palate.collect.columns import Columns
from palate.collect.labels import labels_of
from palate.collect.rows import Table
from palate.core.project import Project, Settings
from palate.label.preferences import rebuild
from palate.report.export import export
from palate.report.other_tools import write
from palate.train.rows.unpaired import EVEN

CHAT = [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "Hi\nthere"}]
ROWS = [
    {"prompt": CHAT, "a": "  x\n", "b": "y, \"z\"", "winner": "a", "annotator": "ada"},
    {"prompt": CHAT, "a": "  x\n", "b": "y, \"z\"", "winner": "b", "annotator": "bo"},
    {"prompt": "q2", "a": "a", "b": "b", "winner": "b", "annotator": "bo"},
    {"prompt": "q3", "a": "x", "b": "y", "winner": "tie", "annotator": "bo"},
    {"prompt": "q4", "a": "x", "b": "y", "winner": "both_bad", "annotator": "bo"},
    *({"prompt": f"p{i}", "a": f"x{i}", "b": "y\r\nz", "winner": "a", "annotator": "ada"} for i in
      range(8)),
]  # fmt: skip


def said(rows) -> list:
    return sorted(
        json.dumps([p.prompt, p.chosen, p.rejected, p.annotator])
        for p in rows
        if p.source == "human"
    )


def test_every_file_gives_the_same_preferences(hub, repo_id, tmp_path):
    table = Table("rows", tuple(ROWS[0]), list(ROWS), list(range(1, len(ROWS) + 1)))
    new = labels_of(pairs.read(table, Columns()))
    importing.add(repo_id, new, "Import", Settings())
    project, preferences = export(repo_id)
    sizes, left_out = write(project, tmp_path / "out")
    written = sum(n for name, n in sizes.items() if name.startswith("unpaired"))
    answers = {
        (json.dumps(p.prompt), json.dumps(side), p.annotator)
        for p in preferences.all() if p.source == "human" for side in (p.chosen, p.rejected)
    }  # fmt: skip
    assert written + sum(left_out.values()) >= len(answers)
    before = said(preferences.all())
    assert (sizes["judgements.csv"], sizes["argilla.json"]) == (13, 12)
    read = {
        name: pairs.read(tables.read(str(tmp_path / "out" / name)), Columns())
        for name in sizes
        if not name.startswith("unpaired")
    }
    assert not any(data.bad for data in read.values())
    for name in ("judgements.csv", "argilla.json"):
        back = labels_of(read[name])
        rebuilt = rebuild(back.prompts, back.candidates, back.events)
        texts = [json.dumps(json.loads(p)[:3]) for p in said(rebuilt.all())]
        assert sorted(texts) == sorted(json.dumps(json.loads(p)[:3]) for p in before), name
        assert sorted(e.kind for e in back.events) == sorted(e.kind for e in project.labels)
    assert said(rebuild(*parts(read["judgements.csv"])).all()) == before
    both = [labels_of(data) for name, data in read.items() if name.startswith("preferences")]
    trained = [p for b in both for p in rebuild(b.prompts, b.candidates, b.events).all()]
    assert said(trained) == before
    splits = {p.id: p.split for p in project.prompts}
    assert {p.id: p.split for b in both for p in b.prompts}.items() <= splits.items()


def parts(data: pairs.Rows):
    back = labels_of(data)
    return back.prompts, back.candidates, back.events


def test_importing_an_export_changes_nothing(hub, repo_id, tmp_path):
    table = Table("rows", tuple(ROWS[0]), list(ROWS), list(range(1, len(ROWS) + 1)))
    importing.add(repo_id, labels_of(pairs.read(table, Columns())), "Import", Settings())
    project, _ = export(repo_id)
    write(project, tmp_path)
    back = labels_of(pairs.read(tables.read(str(tmp_path / "judgements.csv")), Columns()))
    importing.add(repo_id, back, "Again", Settings())
    assert len(Project.load(repo_id).labels) == len(project.labels)


def test_single_answers_come_back(hub, repo_id, tmp_path):
    rows = [{"prompt": f"q{i}", "completion": f"c{i}", "label": i % 2 == 0} for i in range(8)]
    read = thumbs.read(Table("kto", tuple(rows[0]), rows, list(range(8))), Columns())
    assert read is not None
    project = importing.add(repo_id, thumbs.imported(read), "Import", Settings())
    sizes, left_out = write(project, tmp_path)
    assert not left_out
    back = [
        thumbs.read(tables.read(str(tmp_path / name)), Columns()) for name in sizes if "unp" in name
    ]
    found = [row for t in back if t for row in t.rows]
    assert sorted(map(repr, found)) == sorted(map(repr, project.read("unpaired")))


def test_answers_that_stay_undecided_are_counted(hub, repo_id, tmp_path):
    rows = [
        {"prompt": "q", "a": x, "b": y, "choice": "a"}
        for x, y in (("one", "two"), ("two", "three"), ("one", "three"))
    ]
    table = Table("rows", tuple(rows[0]), rows, [1, 2, 3])
    importing.add(repo_id, labels_of(pairs.read(table, Columns())), "Import", Settings())
    project, _ = export(repo_id)
    sizes, left_out = write(project, tmp_path)
    assert sum(n for name, n in sizes.items() if name.startswith("unpaired")) == 2
    assert left_out == {EVEN: 1}
