"""What a report says of crossed axes, in every output."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.factors import draw_choices
from bakeoff.report.render.json import build_document
from bakeoff.report.render.latex import write_latex
from bakeoff.report.render.markdown import write_markdown
from bakeoff.report.render.terminal import print_verdict
from bakeoff.report.sections.factors import SECTION, describe_factors, tell_choices
from bakeoff.stats.designs import make_screening
from bakeoff.stats.factor_effects import FactorEffects
from bakeoff.stats.factor_wording import write_choices, write_gaps
from bakeoff.stats.factorial import Factor, FactorialDesign
from bakeoff.stats.factors import judge_factors
from bakeoff.stats.measure import Measure
from bakeoff.stats.metrics import find_metric
from bakeoff.stats.summary import Rules, StudyDesign, Summary, TrialResult, summarise

Make = Callable[..., ReportInput]
MEASURE = Measure(find_metric("accuracy"), "test")
FACTORS = (
    Factor(name="optimizer", levels=("adam", "sgd")),
    Factor(name="initializer", levels=("he", "glorot", "zeros")),
)
DESIGN = FactorialDesign(
    factors=FACTORS,
    cells={
        " / ".join(factor.levels[level] for factor, level in zip(FACTORS, cell, strict=True)): cell
        for cell in itertools.product(range(2), range(3))
    },
)


def make_summary(
    *, crossing: float = 0.0, optimizer: float = 0.05, without: str = "", rules: Rules | None = None
) -> Summary:
    """Adam leads, zeros loses a little; `crossing` takes adam's lead away with zeros."""
    rng = np.random.default_rng(0)

    def draw(cell: tuple[int, ...]) -> float:
        lead = optimizer * (cell[0] == 0) - 0.01 * (cell[1] == 2) - crossing * (cell == (0, 2))
        return float(0.9 + lead + rng.normal(0, 0.001))

    results = [
        TrialResult(
            trial_id=f"{arm} {replicate}",
            block="digits",
            arm=arm,
            replicate=replicate,
            state="done",
            metrics={"test": {"accuracy": score, "loss": 1 - score}},
            epochs_trained=1,
            best_epoch=None,
            seconds=1.0,
        )
        for arm, cell in DESIGN.cells.items()
        for replicate in range(5)
        for score in [draw(cell)]
        if arm != without
    ]
    return summarise(results, StudyDesign(blocks=("digits",), arms=list(DESIGN.cells)), rules)


def judge(summary: Summary) -> FactorEffects:
    return judge_factors(summary, DESIGN)[0]


@pytest.fixture
def report(make_report: Make) -> ReportInput:
    summary = make_summary()
    return make_report(summary=summary, facts={"factors": judge_factors(summary, DESIGN)})


def say(summary: Summary) -> str:
    return write_choices(judge(summary), summary.measure)


def test_a_lead_with_one_sign_and_no_interaction_holds_whatever_the_other_choice() -> None:
    assert say(make_summary()).startswith("optimizer, adam over sgd by 4.98")
    assert "points whatever the initializer; initializer, " in say(make_summary())
    assert "over zeros by" in say(make_summary())


def test_a_lead_that_depends_on_the_other_choice_is_one_on_average() -> None:
    assert "adam over sgd by 3.4" in say(make_summary(crossing=0.045))
    assert "points on average over the levels of initializer" in say(make_summary(crossing=0.045))


def test_what_is_not_settled_and_what_is_too_small_is_said() -> None:
    assert say(make_summary(optimizer=0.0)).endswith("; optimizer is not settled.")
    assert say(make_summary(optimizer=0.0, rules=Rules(margin=0.005))).endswith("; optimizer is too small to matter.")


def test_less_loss_is_the_better_level() -> None:
    found = judge(make_summary(rules=Rules(metric="loss")))
    assert (found.effects[0].verdict.difference or 0) < 0
    assert say(make_summary(rules=Rules(metric="loss"))).startswith("optimizer, adam over sgd by 0.0498 whatever")


def test_interactions_are_named_or_the_largest_is() -> None:
    lines = describe_factors(make_summary(), judge(make_summary()))
    assert any(line.startswith("No interaction is shown; the largest is optimizer x initializer: ") for line in lines)
    crossed = make_summary(crossing=0.045)
    (line,) = [line for line in describe_factors(crossed, judge(crossed)) if "interactions are shown" in line]
    assert line.startswith("2 interactions are shown: optimizer x initializer: adam minus sgd is 4.")
    assert "higher with he than with zeros" in line or "higher with glorot than with zeros" in line


def test_the_assumption_is_said() -> None:
    last = describe_factors(make_summary(), judge(make_summary()))[-1]
    assert "not over levels it does not have" in last
    assert "the 4 differences of levels are one family and the 3 interactions another" in last
    assert "each with a chance of at most 5%" in last


def test_missing_arms_are_said_and_what_is_left_out_for_them() -> None:
    found = judge(make_summary(without="sgd / zeros"))
    assert write_gaps(found) == "sgd / zeros has no score: zeros of initializer is left out of what is said of choices."
    small = FactorialDesign(
        factors=(FACTORS[0], replace(FACTORS[1], levels=("he", "zeros"))),
        cells={"adam / he": (0, 0), "adam / zeros": (0, 1), "sgd / he": (1, 0), "sgd / zeros": (1, 1)},
    )
    (nothing,) = judge_factors(make_summary(without="sgd / zeros"), small)
    assert write_gaps(nothing).endswith(
        "so nothing is claimed of single choices: no complete part of the design is left."
    )


def test_a_screening_is_answered_choice_by_choice_first(make_report: Make) -> None:
    summary = make_summary()
    cells = {arm: cell for arm, cell in DESIGN.cells.items() if cell[1] < 2}
    part = FactorialDesign(
        factors=(FACTORS[0], replace(FACTORS[1], levels=("he", "glorot"))), cells=cells, kind="screening", resolution=3
    )
    for design, first in ((part, True), (DESIGN, False)):
        text = write_markdown(make_report(summary=summary, facts={"factors": judge_factors(summary, design)}))
        assert (text.index("Choice by choice") < text.index(summary.answers[0].sentence[:30])) is first


def test_every_report_tells_the_choices(report: ReportInput) -> None:
    text = write_markdown(report)
    assert "## Which choices matter" in text
    assert "Choice by choice, the largest first: optimizer, adam over sgd" in text
    assert "Main effects" in text
    stream = io.StringIO()
    print_verdict(Console(file=stream, width=160, force_terminal=False), report)
    assert "Choice by choice, the largest first: optimizer, adam over sgd" in stream.getvalue()
    assert "No interaction is shown" in stream.getvalue()
    assert "effects" in write_latex(report)
    document = json.loads(json.dumps(build_document(report), allow_nan=False))
    assert [each["factor"] for each in document["factors"][0]["choices"]] == ["optimizer", "initializer"]


def test_the_tidy_table_has_a_row_per_effect_and_interaction(report: ReportInput) -> None:
    rows = list(SECTION.tables["effects"](report).records())
    assert [row["kind"] for row in rows] == ["main"] * 4 + ["interaction"] * 3
    assert rows[0]["factor"] == "optimizer"
    assert rows[0]["same_sign"] == "yes"
    assert rows[-1]["factor"] == "optimizer x initializer"


def test_the_figure_has_a_dot_and_an_interval_per_choice(report: ReportInput) -> None:
    spec = draw_choices(report, "digits")
    assert spec is not None
    assert spec.layout["yaxis"]["ticktext"] == ["optimizer", "initializer"]
    assert sum(len(trace["x"]) for trace in spec.data) == 2
    assert "optimizer 4.98" in spec.alt
    assert draw_choices(report, "elsewhere") is None


def test_a_study_without_crossed_axes_says_nothing_of_choices(make_report: Make) -> None:
    plain = make_report()
    assert tell_choices(plain) == ()
    assert "factors" not in build_document(plain)
    assert "choices" not in write_markdown(plain)


def make_fraction(num_replicates: int) -> FactorEffects:
    """Screen seven choices by eight arms; the first has an effect of 10 points."""
    fraction = make_screening(7)
    rng = np.random.default_rng(2)
    rows = {str(run): tuple(map(int, row)) for run, row in enumerate(fraction.levels_NK)}
    design = FactorialDesign(
        factors=tuple(Factor(name=f"choice{n}", levels=("off", "on")) for n in range(7)),
        cells=rows,
        kind="screening",
        resolution=fraction.resolution,
        aliases=("choice0 is aliased with choice1 x choice3.",),
        title=fraction.title,
    )
    results = [
        TrialResult(
            trial_id=f"{arm} {replicate}",
            block="digits",
            arm=arm,
            replicate=replicate,
            state="done",
            metrics={"test": {"accuracy": 0.7 + 0.1 * cell[0] + float(rng.normal(0, 0.004))}},
            epochs_trained=1,
            best_epoch=None,
            seconds=1.0,
        )
        for arm, cell in rows.items()
        for replicate in range(num_replicates)
    ]
    return judge_factors(summarise(results, StudyDesign(blocks=("digits",), arms=list(rows))), design)[0]


def test_a_fraction_says_what_its_findings_may_be_instead() -> None:
    text = write_choices(make_fraction(3), MEASURE)
    assert text.startswith("choice0, on over off by 9.99")
    assert "points on average over the other choices; 6 of 7 choices are not settled." in text
    assert text.endswith("may be that of an interaction it is aliased with.")
    lines = describe_factors(make_summary(), make_fraction(3))
    assert "8 of 128 combinations were run (2^(7-4) fraction of resolution III)." in lines
    assert "choice0 is aliased with choice1 x choice3." in lines


def test_a_single_replicate_is_screened_by_lenth_without_a_verdict() -> None:
    text = write_choices(make_fraction(1), MEASURE)
    assert text.startswith(
        "with one replicate there is no verdict; by Lenth's pseudo standard error choice0 (on minus off"
    )
    assert "stands out (limit " in text
