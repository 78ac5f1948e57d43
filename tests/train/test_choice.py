"""Which weights are kept, and figures that this does not flatter."""

import numpy as np
import pytest

from palate.train.records.choice import LOGGED, calibrated_loss, read_run, temperature


def test_logs_name_the_rows_that_were_measured():
    log = [
        {"step": 1, "loss": 0.6},
        {"step": 2, "eval_loss": 0.6, LOGGED: {"10": 0.2, "3": -0.1}},
        {"step": 4, "eval_loss": 0.5, LOGGED: {"10": 0.4, "3": float("nan")}},
    ]
    run, places = read_run(log)
    assert places == [3, 10]
    assert {step: list(m) for step, m in run.items()} == {2: [-0.1, 0.2]}
    assert read_run(log[:1]) == ({}, [])


def test_a_log_loss_does_not_depend_on_the_scale_of_the_margins():
    margins = np.array([2.0, 1.0, -0.5, 0.3, -0.2, 1.5])
    assert calibrated_loss(margins) == pytest.approx(calibrated_loss(5 * margins), abs=1e-4)
    assert temperature(5 * margins) == pytest.approx(5 * temperature(margins), rel=0.01)
    assert calibrated_loss(margins) < np.log(2) - 0.05
    for nothing in (np.zeros(6), -margins):
        assert calibrated_loss(nothing) == pytest.approx(np.log(2), abs=0.01)
