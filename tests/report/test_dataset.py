"""Dataset cards: complete, valid for the Hub, and safe whatever the labelled text says."""

from dataclasses import replace

import pytest
from card_projects import NASTY, InMemory, body, project, project_of, shape, text_of
from huggingface_hub import DatasetCard

from palate.core import ledger, schema
from palate.core.project import SETTINGS_FILE
from palate.core.schema import Prompt
from palate.report.dataset_card import dataset_files, push_dataset_card
from palate.report.features import features


def dataset_readme(of: InMemory) -> str:
    return text_of(dataset_files(of))


@pytest.mark.parametrize("config", schema.ROWS)
def test_features_have_a_column_for_every_field(config):
    assert list(features(config)) == list(schema.ROWS[config].__dataclass_fields__)


def test_a_dataset_card_counts_what_is_there():
    text = dataset_readme(project(strength=2))
    assert "5 pairwise preferences on 5 prompts, chosen by 1 person" in text
    assert "| test | 1 | 1 |" in text
    assert "| `preferences` (default) | 5 |" in text
    assert "Left out of the preferences: 1 on eval prompts, which stay blind." in text
    assert "where sides are random) | 100.0% | 54.1–100.0% | 6 |" in text
    assert "unknown how consistent people are" in text
    assert "There are no written guidelines." in text
    assert "The labels show no clear preference for a length or a format." in text
    assert "6 choices of 6 say how much better" in text
    assert "behind the labels" not in text
    assert dataset_readme(project(strength=2)) == text


def test_a_dataset_cards_front_matter_reads_back():
    data = DatasetCard(dataset_readme(project())).data
    assert [c["config_name"] for c in data.configs] == list(schema.ROWS)
    assert [c.get("default") for c in data.configs] == [None] * 3 + [True] + [None] * 3
    assert data.size_categories == ["n<1K"]
    assert data.license == "cc-by-4.0"
    assert data.language is None


def test_a_project_without_labels_shows_only_what_it_has():
    prompts = [Prompt.of("A title", "train")]
    text = dataset_readme(project_of({"prompts": prompts}, []))
    assert [c["config_name"] for c in DatasetCard(text).data.configs] == ["prompts"]
    assert "Nobody has labelled a pair yet" in text
    assert "## The labels" not in text
    assert "## An example row" not in text


def test_a_project_of_skips_has_no_sides_to_show():
    of = project()
    skips = [replace(e, kind="skip", chosen=None) for e in of.memory["labels"]]
    text = dataset_readme(project_of(of.memory | {"labels": skips, "preferences": []}, []))
    assert "plots/" not in text
    assert "| skip | 6 | 6 |" in text


def test_preferences_that_lag_behind_are_pointed_out():
    of = project()
    text = dataset_readme(project_of(of.memory | {"preferences": of.preferences[:3]}, []))
    assert "behind the labels** by 2 rows: `palate export me/titles`" in text


def test_many_annotators_are_summed_up():
    of = project(prompts=12)
    many = [replace(e, annotator=f"a{i}") for i, e in enumerate(of.memory["labels"])]
    text = dataset_readme(project_of(of.memory | {"labels": many}, []))
    assert "| a9 | 1 |\n| 2 others | 2 |" in text


@pytest.mark.parametrize("text", NASTY)
def test_labelled_text_cannot_change_a_dataset_card(text):
    plain, nasty = (dataset_readme(project(t, t)) for t in ("plain", text))
    assert shape(body(nasty)) == shape(body(plain))
    assert DatasetCard(nasty).data.to_dict() == DatasetCard(plain).data.to_dict()
    nasty.encode()


def test_every_config_loads_with_its_exact_types(pushed):
    from datasets import load_dataset

    url = push_dataset_card(pushed)
    assert url.endswith(f"/datasets/{pushed}")
    for config in schema.ROWS:
        for name, split in load_dataset(pushed, config).items():
            assert split.features == features(config, aspects=False), (config, name)
    assert {k: len(v) for k, v in load_dataset(pushed).items()} == {"train": 4, "test": 1}
    candidates = load_dataset(pushed, "candidates", split="train")
    assert candidates[0]["sampling"] in (None, dict.fromkeys(candidates.features["sampling"]))


def test_sampling_settings_survive_beside_nulls(repo_id):
    from datasets import load_dataset

    from palate.core import hub

    of = project()
    hub.create(repo_id, "dataset")
    files = {SETTINGS_FILE: of.settings.dump()}
    files["candidates/1.jsonl"] = ledger.jsonl(c for c in of.candidates if not c.sampling)
    files["candidates/2.jsonl"] = ledger.jsonl(c for c in of.candidates if c.sampling)
    hub.commit(repo_id, "dataset", files, "Candidates")
    push_dataset_card(repo_id)
    rows = load_dataset(repo_id, "candidates", split="train")
    assert rows.features == features("candidates", aspects=False)
    assert rows[-1]["sampling"] == of.candidates[0].sampling


def test_a_card_is_committed_only_when_it_differs(pushed):
    from palate.core import hub

    push_dataset_card(pushed)
    before = hub.describe(pushed, "dataset")[0]
    push_dataset_card(pushed)
    assert hub.describe(pushed, "dataset")[0] == before


def test_the_hub_accepts_the_card_and_tells_one_without_a_licence(hub):
    text = dataset_readme(project())
    DatasetCard(text).validate(repo_type="dataset")
    with pytest.raises(ValueError, match="license"):
        DatasetCard(text.replace("license: cc-by-4.0", "license: mine")).validate("dataset")


def test_the_card_of_an_export_is_the_one_that_its_files_give(pushed):
    from palate.core import hub
    from palate.report.export import export

    project, rebuilt = export(pushed)
    assert rebuilt.in_files() == list(project.preferences)
    assert [row.prompt_id for row in rebuilt.in_files()] != [row.prompt_id for row in rebuilt.all()]
    (card,) = hub.fetch(pushed, "dataset", project.revision, ["README.md"])
    assert card.read_text("utf-8") == dataset_files(project)["README.md"]
