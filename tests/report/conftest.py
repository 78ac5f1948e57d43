from dataclasses import replace

import pytest
from card_projects import project

from palate.core import ledger
from palate.core.project import SETTINGS_FILE
from palate.core.schema import Event
from palate.label import preferences


@pytest.fixture
def pushed(repo_id) -> str:
    """The id of a project on the Hub that holds every config, all values null that may be."""
    from palate.core import hub

    hub.create(repo_id, "dataset")
    of = project()
    plain = [replace(c, model=None, revision=None, sampling=None) for c in of.candidates]
    by_id = {old.id: new for old, new in zip(of.candidates, plain, strict=True)}
    assert all(old == new.id for old, new in by_id.items())
    files = {SETTINGS_FILE: of.settings.dump()}
    for config, rows in (of.memory | {"candidates": plain}).items():
        if config != "preferences":
            nulls = [replace(r, milliseconds=None) if isinstance(r, Event) else r for r in rows]
            files[f"{config}/0001.jsonl"] = ledger.jsonl(nulls)
    files |= preferences.preference_files(preferences.rebuild(of.prompts, plain, of.labels))
    hub.commit(repo_id, "dataset", files, "A project")
    return repo_id
