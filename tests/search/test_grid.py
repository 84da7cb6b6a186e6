"""The grid asks for everything once."""

from __future__ import annotations

from bakeoff.search.grid import Grid
from bakeoff.search.strategy import TrialOutcome
from bakeoff.study.plan import expand
from bakeoff.study.schema import Study


def test_the_grid_asks_for_every_trial_once_in_the_order_of_the_plan() -> None:
    study = Study(
        question="Which?",
        blocks=[{"data.name": ["digits", "mnist"]}],
        arms=[{"network": ["mlp", "cnn"]}],
        replicates=3,
    )
    trials = expand(study).trials
    grid = Grid(trials)
    assert tuple(grid.ask()) == trials
    assert len(trials) == 12
    for trial in trials:
        grid.tell(TrialOutcome(trial=trial, state="failed"))
        assert not grid.ask()
