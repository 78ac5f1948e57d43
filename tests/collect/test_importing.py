import json
from collections import Counter

import pytest

from palate.collect import importing, pairs, tables
from palate.collect.choices import Given
from palate.collect.columns import Columns, template_of
from palate.collect.labels import labels_of
from palate.core import ledger
from palate.core.errors import BadInput, UsageError
from palate.core.project import Project, Settings
from palate.core.schema import Prompt
from palate.label import preferences
from palate.report.export import export

COLUMNS = Columns("idea", "a", "b", "b_won")
HEADER = "idea,a,b,b_won\n"


def table(tmp_path, text: str, name: str = "pairs.csv"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tables.read(str(tmp_path / name))


def read(given, columns=None, template=None):
    return labels_of(pairs.read(given, columns or Columns(), template))


def imported(tmp_path, text: str, columns=COLUMNS, template=None):
    return read(table(tmp_path, text), columns, template)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (
            "tea,x,y,maybe",
            "row 2, field 'b_won': expected a choice .*a is the first.*found 'maybe'",
        ),
        ("tea,x,y,", "row 2, field 'b_won': expected a choice .*found nothing"),
        ("tea,same,same,a", "row 2, field 'a, b': both sides have the same text"),
        (",x,y,a", "row 2, field 'idea': expected text, found nothing"),
        ("tea,x,  ,a", "row 2, field 'b': expected text"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, row, says):
    with pytest.raises(BadInput, match=says) as error:
        imported(tmp_path, f"{HEADER}tea,x,y,a\n{row}\n")
    assert "pairs.csv" in str(error.value)


def test_a_column_for_each_judge_is_a_judgement_of_each(tmp_path):
    text = "idea,a,b,x,y,z\ntea,p,q,1,1,2\nmilk,r,s,2,0,2\n,t,u,1,1,1\n"
    columns = Columns.of("idea", "a", "b", ["x", "y", "z"], given=Given(("1",), ("2",), ("0",)))
    data = pairs.read(table(tmp_path, text), columns)
    assert set(data.used) == {"a", "b", "idea", "x", "y", "z"}
    new = labels_of(data, skip=True)
    assert (len(new.events), new.refused.total()) == (6, 3)
    text_of = {c.id: c.text for c in new.candidates}
    chosen = {(e.annotator, text_of[e.left]): text_of.get(e.chosen) for e in new.events}
    assert len({e.annotator for e in new.events}) == 3
    assert sorted(map(str, chosen.values())) == ["None", "p", "p", "q", "s", "s"]


def test_a_preference_against_its_own_scores_is_said(tmp_path):
    text = (
        "prompt,chosen,rejected,score_chosen,score_rejected\n"
        "tea,a,b,7.5,7.5\nmilk,c,d,6,7\nrum,e,f,8,7\ngin,g,h,,7\n"
    )
    new = imported(tmp_path, text, Columns())
    assert len(new.events) == 4
    assert new.notes == {
        "whose rejected text has the same score": 1,
        "whose rejected text has a higher score": 1,
    }


def test_a_row_of_several_judges_is_listed_once(tmp_path):
    text = "idea,a,b,x,y\ntea,p,q,1,2\n,r,s,2,1\nmilk,,u,1,1\n"
    columns = Columns.of("idea", "a", "b", ["x", "y"], given=Given(("1",), ("2",)))
    with pytest.raises(BadInput) as error:
        labels_of(pairs.read(table(tmp_path, text), columns))
    said = str(error.value)
    assert "2 rows cannot be used" in said
    assert said.count("row 2") == said.count("row 3") == 1


def test_one_hot_columns_named_together_are_one_judge(tmp_path):
    text = "idea,a,b,win_a,win_b,win_tie\ntea,p,q,1,0,0\nmilk,r,s,0,0,1\n"
    columns = Columns.of("idea", "a", "b", ["win_a", "win_b", "win_tie"])
    new = read(table(tmp_path, text), columns)
    assert [e.kind for e in new.events] == ["label", "tie"]


@pytest.mark.parametrize(
    ("choice", "annotator", "says"),
    [(["x", "y", "z"], "who", "leave --annotator out"), (["x", "x"], None, "each column once")],
)
def test_judges_are_named_once(choice, annotator, says):
    with pytest.raises(UsageError, match=says):
        Columns.of("idea", "a", "b", choice, annotator)


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(BadInput, match="field 'b': there is no such column; found: idea, a, b_won"):
        imported(tmp_path, "idea,a,b_won\ntea,x,a\n")


def test_half_of_the_columns_are_refused(tmp_path):
    with pytest.raises(UsageError, match="Give --a, --b and --choice together"):
        imported(tmp_path, f"{HEADER}tea,x,y,a\n", Columns("idea", "a"))


def test_a_file_of_neither_kind_says_how_to_name_columns(tmp_path):
    with pytest.raises(UsageError, match="no columns chosen and rejected; found: idea, x, y, won"):
        imported(tmp_path, "idea,x,y,won\ntea,x,y,a\n", Columns())
    with pytest.raises(UsageError, match="whether a or b was preferred"):
        imported(tmp_path, f"{HEADER}tea,x,y,a\n", Columns())


def test_the_same_file_twice_gives_the_same_ids_and_repeats_are_counted(tmp_path):
    text = f"{HEADER}tea,x,y,a\ntea,x,y,b\ntea,x,y,a\n"
    one, two = imported(tmp_path, text), imported(tmp_path, text)
    assert [e.event_id for e in one.events] == [e.event_id for e in two.events]
    (event,) = one.events
    assert event.chosen == event.left
    assert sum(one.left_out.values()) == 2


CHAT = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Hi", "chosen": "good", "rejected": "bad"},
        {"prompt": CHAT, "chosen": "good", "rejected": "bad"},
        {"prompt": CHAT, "chosen": [{"role": "assistant", "content": "good"}],
         "rejected": [{"role": "assistant", "content": "bad"}]},
        {"chosen": [*CHAT, {"role": "assistant", "content": "good"}],
         "rejected": [*CHAT, {"role": "assistant", "content": "bad"}]},
        {"prompt": "Hi", "chosen": [*CHAT, {"role": "assistant", "content": "good"}],
         "rejected": [*CHAT, {"role": "assistant", "content": "bad"}]},
    ],
)  # fmt: skip
def test_preference_files_of_every_common_shape(tmp_path, row):
    new = read(table(tmp_path, json.dumps(row) + "\n", "p.jsonl"))
    rebuilt = preferences.rebuild(new.prompts, new.candidates, new.events)
    (preference,) = rebuilt.rows["train"]
    assert preference.prompt == CHAT
    assert preference.chosen[0]["content"] == "good"
    assert preference.rejected[0]["content"] == "bad"


def test_preference_files_do_not_put_the_chosen_on_one_side(tmp_path):
    lines = [json.dumps({"prompt": f"q{i}", "chosen": "g", "rejected": "b"}) for i in range(200)]
    new = read(table(tmp_path, "\n".join(lines), "p.jsonl"))
    left = sum(e.chosen == e.left for e in new.events)
    assert 60 < left < 140


def test_broken_messages_are_named(tmp_path):
    row = {"prompt": [{"role": "robot", "content": "x"}], "chosen": "a", "rejected": "b"}
    with pytest.raises(BadInput, match="row 1, field 'prompt': expected messages with role"):
        read(table(tmp_path, json.dumps(row), "p.jsonl"))


def test_a_template_fills_columns_and_leaves_other_braces(tmp_path):
    t = table(tmp_path, f"{HEADER}green tea,x,y,a\n")
    fill = template_of('About {idea}: {"json": true}\n', t)
    assert fill.fill(t.rows[0]) == 'About green tea: {"json": true}'
    with pytest.raises(UsageError, match="names no column"):
        template_of("About {topic}", t)


def test_prompts_come_from_the_only_column_or_the_named_one(tmp_path):
    assert len(importing.prompts_of(table(tmp_path, "Idea\none\ntwo\none\n"))) == 2
    two = table(tmp_path, "Idea,n\none,1\n")
    assert importing.prompts_of(two, "Idea")[0].text == "one"
    with pytest.raises(BadInput, match="field 'prompt': there is no such column"):
        importing.prompts_of(two)


def test_a_project_is_started_filled_and_filled_again(hub, repo_id, tmp_path):
    prompts = [Prompt.of(f"idea {i}") for i in range(10)]
    project = importing.start_project(repo_id, prompts, Settings(question="Which?"))
    assert project.settings.question == "Which?"
    assert hub_is_private(repo_id)
    text = HEADER + "".join(f"idea {i},x{i},y{i},{i % 2}\n" for i in range(12))
    new = imported(tmp_path, text)
    first = importing.add(repo_id, new, "Import")
    assert len(first.prompts) == 12
    assert len(first.labels) == 12
    kept = {p.id: p.split for p in first.prompts}
    assert all(kept[p.id] == p.split for p in project.prompts)
    held_out = sum(s == "eval" for s in kept.values())
    first, preferences = export(repo_id)
    assert len(preferences.all()) == len(first.preferences) == 12 - held_out
    again = importing.add(repo_id, imported(tmp_path, text), "Import again")
    assert again.revision == first.revision


def test_the_recorded_pairs_import_whole(hub, repo_id, titles):
    columns = Columns("idea", "title_a", "title_b", "title_b_preferred")
    new = read(tables.read(str(titles)), columns)
    assert (len(new.prompts), len(new.events)) == (114, 1140)
    importing.start_project(repo_id, new.prompts, Settings())
    importing.add(repo_id, new, "Import")
    project, _ = export(repo_id)
    split = {p.id: p.split for p in project.prompts}
    assert len(split) == 114
    assert len(ledger.standing_judgements(project.labels)) == 1140
    rows = project.preferences
    assert len(rows) == sum(split[e.prompt_id] != "eval" for e in project.labels)


def test_every_label_of_an_import_is_kept_for_training_and_testing(hub, repo_id, titles):
    columns = Columns("idea", "title_a", "title_b", "title_b_preferred")
    new = read(tables.read(str(titles)), columns)
    importing.start_project(repo_id, [], Settings())
    importing.add(repo_id, new, "Import")
    project, made = export(repo_id)
    assert Counter(p.split for p in project.prompts) == {"train": 103, "test": 11}
    assert len(made.rows["train"]) + len(made.rows["test"]) == 1140
    importing.start_project(repo_id, [Prompt.of(f"new {i}") for i in range(70)], Settings())
    sizes = Counter(p.split for p in Project.load(repo_id).prompts)
    assert sizes["eval"] == 60


def test_a_published_test_split_stays_and_a_prompt_in_two_is_held_out(tmp_path):
    text = "prompt,chosen,rejected,split\na,1,2,train_prefs\nb,1,2,test_prefs\nA ,3,4,validation\n"
    new = read(table(tmp_path, text))
    assert {p.text: p.split for p in new.prompts} == {"a": "test", "b": "test", "A ": "test"}
    assert new.notes == {"prompts are in several splits: held out from training": 1}
    plain = read(table(tmp_path, "prompt,chosen,rejected\na,1,2\n"))
    assert [p.split for p in plain.prompts] == ["train"]


def hub_is_private(repo_id: str) -> bool:
    from palate.core import hub

    return hub.api().dataset_info(repo_id).private


def test_loading_what_is_no_project_says_how_to_make_one(hub, repo_id):
    from palate.core import hub as calls

    with pytest.raises(UsageError, match=f"There is no repo {repo_id}"):
        Project.load(repo_id)
    calls.create(repo_id, "dataset")
    with pytest.raises(UsageError, match=f"palate init {repo_id}"):
        Project.load(repo_id)
