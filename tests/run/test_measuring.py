"""What the table of a comparison takes from a model's repo."""

import json
from dataclasses import asdict

import pytest

from palate.check.losses import FILE, VERSION, Ability, CheckReport
from palate.core import hub as client
from palate.core.errors import PalateError
from palate.core.schema import Model
from palate.run.hf_jobs import dollars
from palate.run.measuring import check_of
from palate.train.records.results import Lead


def test_what_tuning_cost_is_in_the_table_where_it_was_checked(repo_id):
    repo = f"{repo_id}-sft"
    client.create(repo, "model")
    sha = client.commit(repo, "model", {"run.json": "{}"}, "A model")
    model = Model(repo, sha)
    assert check_of(model) == ()
    lost = Ability("Instructions", "instructions followed", 64, 0.5, 0.469, Lead(-0.031, None))
    report = CheckReport(VERSION, Model("me/base", "a"), model, (lost,), {"seed": 0}, "now")
    # the commit that adds it is not the one whose weights were checked
    client.commit(repo, "model", {FILE: json.dumps(asdict(report))}, "Add what tuning cost")
    assert check_of(model) == ("Instructions -3.1 points",)
    client.commit(repo, "model", {FILE: "{}"}, "A wrong file")
    with pytest.raises(PalateError, match=FILE):
        check_of(model)


def test_a_model_that_no_job_on_hf_made_has_no_cost(repo_id):
    assert dollars(repo_id, f"{repo_id}-sft") is None
