from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from rich.cells import cell_len
from rich.console import Console

from bakeoff.report.document import ReportInput
from bakeoff.report.render.terminal import fit_columns, print_verdict
from bakeoff.report.tables import Column

MakeReport = Callable[..., ReportInput]
DATASETS = ("mnist", "fashion-mnist", "cifar10", "cifar100")
INITIALIZERS = [
    f"{family}_{law}" for family in ("random", "glorot", "he", "lecun") for law in ("normal", "uniform")
] + ["orthogonal"]
BLOCKS = [f"{d}, {n}" for d in DATASETS for n in ("lenet", "modnet1", "modnet2")]


def render(report: ReportInput, width: int = 80, terminal: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system=None, legacy_windows=False)
    print_verdict(console, report)
    return stream.getvalue()


def test_verdict_says_question_scores_pairs_answer_and_basis(make_report: MakeReport) -> None:
    report = make_report(margin=0.0005)
    text = render(report, width=120)
    unwrapped = " ".join(text.split())
    assert text.startswith(report.question)
    assert unwrapped.index("orthogonal 9") < unwrapped.index("random_normal 9") < unwrapped.index("random_uniform 9")
    assert re.search(r"orthogonal better than random_normal \+0\.\d", unwrapped)
    assert report.summary.answers[0].sentence in unwrapped
    for fact in ("15 of 15 trials", "48 s", "0.05 points", "opened once", "2025-01-31 12:00 UTC"):
        assert fact in unwrapped
    assert "Report: runs/quickstart/verdict.md" in unwrapped


@pytest.mark.parametrize("num_arms", [1, 3, 9])
@pytest.mark.parametrize("num_blocks", [1, 2, 12])
def test_no_line_is_wider_than_the_console(make_report: MakeReport, num_blocks: int, num_arms: int) -> None:
    report = make_report(blocks=BLOCKS[:num_blocks], arms=INITIALIZERS[:num_arms])
    widest = {
        (width, terminal): max(map(cell_len, render(report, width, terminal).splitlines()))
        for width in (40, 60, 80, 120, 200)
        for terminal in (False, True)
    }
    assert {(width, terminal): found for (width, terminal), found in widest.items() if found > width} == {}


def test_nothing_is_cut_off_at_usual_widths(make_report: MakeReport) -> None:
    one_block, many_blocks = make_report(arms=INITIALIZERS), make_report(blocks=BLOCKS, arms=INITIALIZERS)
    for width in (80, 120):
        assert "…" not in render(one_block, width)
        assert "…" not in render(many_blocks, width)
        assert "glorot_uniform" in render(one_block, width)


def test_plain_output_has_no_control_codes_and_no_drawn_lines(make_report: MakeReport) -> None:
    stream = io.StringIO()
    print_verdict(Console(file=stream, width=80), make_report())
    text = stream.getvalue()
    assert "\x1b" not in text
    assert not any("\u2500" <= character <= "\u257f" for character in text)


def test_output_that_only_knows_ascii(make_report: MakeReport) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_verdict(Console(file=stream, width=120), make_report(arms=("naïve", "数", "b")))
    stream.flush()
    text = stream.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    assert " +- " in text
    assert "na\\xefve" in text


def test_weird_names_stay_text(make_report: MakeReport) -> None:
    names = ("[red]hot[/red]", "<script>|", "\x1b[31mred\n", "[/]", "x" * 300)
    stream = io.StringIO()
    report = make_report(blocks=("[bold]b",), arms=names, question="[link=x]Why?\x07", failed=[("[/]", 0)])
    print_verdict(Console(file=stream, width=400, force_terminal=True, color_system=None), report)
    text = stream.getvalue()
    for shown in ("[red]hot[/red]", "<script>|", r"\x1b[31mred\n", "[/]", "[bold]b", r"[link=x]Why?\x07"):
        assert shown in text
    assert "\x1b[31m" not in text
    assert max(map(cell_len, render(report, 80).splitlines())) <= 80


def test_many_arms_are_shown_against_the_best_with_a_count_of_all_pairs(make_report: MakeReport) -> None:
    text = render(make_report(arms=INITIALIZERS), width=120)
    assert "All 36 pairs: " in text
    assert text.count("better than") + text.count("inconclusive against") >= 8


def test_many_blocks_become_one_table_with_marks(make_report: MakeReport) -> None:
    text = render(make_report(blocks=BLOCKS, arms=INITIALIZERS[:3]), width=80)
    rows = [line for line in text.splitlines() if line.startswith(tuple(BLOCKS))]
    assert len(rows) == 12
    assert all(row.count("*") == 1 for row in rows)
    assert "* best" in text
    assert "12 blocks: random_normal." in " ".join(text.split())


def test_failures_are_grouped_by_reason(make_report: MakeReport) -> None:
    text = " ".join(render(make_report(failed=[("orthogonal", 0), ("orthogonal", 3)]), width=120).split())
    assert "2 trials failed" in text
    assert "NaN in epoch 3 (digits, orthogonal, replicate 1 and 1 more)" in text
    assert "trials done" in text


def test_unopened_exam_and_reused_trials_are_said(make_report: MakeReport) -> None:
    text = " ".join(render(make_report(test=False, num_reused=15), width=120).split())
    assert "not been opened" in text
    assert "validation split" in text
    # The study's own 48 s are not what was spent now; 15 trials of 2.1 s are what they cost.
    assert "found in the ledger" in text
    assert "32 s" in text
    assert "48 s" not in text
    assert "test accuracy" not in text


def test_exam_opened_again_and_partly_is_said(make_report: MakeReport) -> None:
    times = ("2025-01-31T12:00:00Z", "2025-02-01T09:30:00Z")
    text = " ".join(render(make_report(final_test_opened=times), width=120).split())
    assert re.search(r"opened twice, .*2025-01-31 12:00 UTC, .*2025-02-01 09:30 UTC", text)
    partly = " ".join(render(make_report(test=False, final_test_opened=times[:1], num_tested=3), width=120).split())
    assert "3 trials" in partly
    assert "Not every trial" in partly


def test_deciding_metric_leads_the_table(make_report: MakeReport) -> None:
    report = make_report(metric="loss")
    heads = [line.split() for line in render(report, width=120).splitlines()[:6]]
    assert next(words[:4] for words in heads if words[:1] == ["arm"]) == ["arm", "loss", "accuracy", "%"]
    assert render(report, 40).count("± 0.0") >= 3


def test_study_without_results_prints_without_tables_of_nothing(make_report: MakeReport) -> None:
    text = " ".join(render(make_report(num_replicates=0)).split())
    assert "no answer" in text
    assert "other arm" not in text


def test_columns_give_way_in_the_order_asked() -> None:
    arm = Column(key="arm", header=("arm",), cells=("name",), is_number=False)
    score = Column(key="test accuracy", header=("score",), cells=("97.92 ± 0.31",), short=("97.92",))
    loss = Column(key="test loss", header=("loss",), cells=("0.081 ± 0.002",), short=("0.081",))
    order = [("shorten", "loss"), ("drop", "loss"), ("shorten", "accuracy")]
    shapes = {width: [c.cells[0] for c in fit_columns([arm, score, loss], width, order)] for width in (80, 30, 20, 10)}
    assert shapes[80] == ["name", "97.92 ± 0.31", "0.081 ± 0.002"]
    assert shapes[30] == ["name", "97.92 ± 0.31", "0.081"]
    assert shapes[20] == ["name", "97.92 ± 0.31"]
    assert shapes[10] == ["name", "97.92"]


def test_long_names_fold_before_an_interval_is_dropped() -> None:
    names = tuple("abcdefghi " * 4 for _ in range(2))
    columns = [
        Column(key="arm", header=("arm",), cells=names, is_number=False),
        Column(key="other", header=("other arm",), cells=names, is_number=False),
        Column(key="interval", header=("95%", "interval"), cells=("-10.30 to 10.33",) * 2),
        Column(key="p", header=("p", "adjusted"), cells=("0.123",) * 2),
    ]
    sacrifices = [("drop", "p"), ("fold", ""), ("drop", "interval")]
    assert [column.key for column in fit_columns(columns, 100, sacrifices)] == ["arm", "other", "interval", "p"]
    assert [column.key for column in fit_columns(columns, 70, sacrifices)] == ["arm", "other", "interval"]
    assert [column.key for column in fit_columns(columns, 30, sacrifices)] == ["arm", "other"]
