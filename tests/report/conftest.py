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
    of = project(written=False)
    files = {SETTINGS_FILE: of.settings.dump()}
    for config, rows in of.memory.items():
        if config != "preferences":
            nulls = [replace(r, milliseconds=None) if isinstance(r, Event) else r for r in rows]
            files[f"{config}/0001.jsonl"] = ledger.jsonl(nulls)
    files |= preferences.preference_files(preferences.rebuild(of.prompts, of.candidates, of.labels))
    hub.commit(repo_id, "dataset", files, "A project")
    return repo_id
