from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bakeoff.report.document import ReportInput
from bakeoff.report.render.latex import write_latex
from bakeoff.report.sections.comparison import MAX_PAIRS
from bakeoff.report.sections.marks import find_bold, find_marks
from bakeoff.stats.results import Summary, TrialResult
from bakeoff.stats.summary import Rules, StudyDesign, summarise

MakeReport = Callable[..., ReportInput]


def tables_of(text: str) -> dict[str, str]:
    """Return every table by its label; that each has one is asserted."""
    tables = re.findall(r"\\begin\{table\}.*?\\end\{table\}", text, flags=re.DOTALL)
    labels = [re.findall(r"\\label\{tab:([A-Za-z0-9-]+)\}", table) for table in tables]
    assert all(len(found) == 1 for found in labels)
    named = {found[0]: table for found, table in zip(labels, tables, strict=True)}
    assert len(named) == len(tables), "labels occur twice"
    return named


def rows_of(table: str) -> list[list[str]]:
    """Return the cells of every row, head included; that all rows are as long as the head is asserted."""
    (specification, body) = re.findall(r"\\begin\{tabular\}\{(.*)\}\n(.*?)\\end\{tabular\}", table, flags=re.DOTALL)[0]
    assert re.findall(r"\\(\w+rule)", body) == ["toprule", "midrule", "bottomrule"]
    width = len(re.findall(r"[lrp]", re.sub(r"@\{\}|\{[\d.]+pt\}", "", specification)))
    lines = [line for line in body.splitlines() if line.strip() and not line.strip().endswith("rule")]
    assert all(line.endswith(r" \tabularnewline") for line in lines)
    rows = [re.split(r"(?<!\\)&", line.removesuffix(r" \tabularnewline")) for line in lines]
    assert {len(row) for row in rows} == {width}
    return [[cell.strip() for cell in row] for row in rows]


def caption_of(table: str) -> str:
    return re.findall(r"\\caption\{(.*)\}\n", table)[0]


def check_structure(text: str) -> None:
    """What TeX asks of any text: ASCII, braces and dollars in pairs, environments closed, no command of the user's."""
    assert text.isascii()
    plain = re.sub(r"\\[\\{}$&#%_\"'`^~=.]", "", "\n".join(line for line in text.splitlines() if line[:1] != "%"))
    depth = 0
    for character in plain:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert plain.count("$") % 2 == 0
    outside = re.sub(r"\$[^$]*\$", "", plain)
    assert not set("#%_^~") & set(re.sub(r"@\{\}", "", outside))
    assert re.findall(r"\\begin\{(\w+)\}", text) == ["table", "tabular"] * text.count(r"\begin{table}")
    known = (
        "begin end centering setlength belowcaptionskip caption label small footnotesize scriptsize tabcolsep toprule"
    )
    known += (
        " midrule bottomrule tabularnewline textbackslash textasciitilde textasciicircum textless textgreater textbar"
    )
    known += " textbf rlap dagger pm alpha ss raggedright hspace i"
    assert set(re.findall(r"\\([A-Za-z]+)", plain)) <= set(known.split())


def test_every_table_is_there_and_sound(full_report: ReportInput) -> None:
    text = write_latex(full_report)
    check_structure(text)
    tables = tables_of(text)
    kinds = [label.split("-again")[0].rpartition("-")[2] for label in tables]
    blocks = 3
    per_block = ["scores", "pairs", "train", "test"] * blocks
    assert kinds == ["blocks", *per_block, *["steps"] * blocks, *["ensembles"] * blocks, "published"]
    for table in tables.values():
        assert len(rows_of(table)) >= 2


def test_a_caption_says_what_the_scores_rest_on(make_report: MakeReport) -> None:
    report = make_report(margin=0.002, reduced="Reduced study: 10% of the images.")
    caption = caption_of(tables_of(write_latex(report))["quickstart-digits-scores"])
    assert caption.startswith(r"digits: mean $\pm$ standard deviation over n = 5 replicates.")
    for words in (
        r"test accuracy replicate by replicate (paired t, 95\% intervals, variances borrowed across arms)",
        "adjusted for all 3 pairs (Bonferroni)",
        "Differences within 0.20 points do not matter.",
        r"Reduced study: 10\% of the images.",
    ):
        assert words in caption
    unfinished = replace(report, state="unfinished", num_done=9)
    assert "Unfinished: 9 of 15 trials done." in write_latex(unfinished)


def test_units_stand_in_the_head_and_figures_agree_with_the_summary(make_report: MakeReport) -> None:
    report = make_report()
    head, names, first, *_ = rows_of(tables_of(write_latex(report))["quickstart-digits-scores"])
    assert names == ["arm", r"accuracy \%", r"accuracy \%", "loss", r"macro F1 \%", "per trial"]
    assert head[1:4] == ["test", "validation", "test"]
    score = report.summary.arms[0].test["accuracy"]
    assert score.sd is not None
    assert first[1] == rf"\textbf{{{100 * score.mean:.2f}}} $\pm$ {100 * score.sd:.2f}"


def test_bold_is_who_is_better_than_every_other(make_report: MakeReport) -> None:
    clear = make_report()
    (answer,) = clear.summary.answers
    assert find_bold(clear.summary, "digits") == "orthogonal"
    assert find_marks(answer) == {}
    text = write_latex(clear)
    assert "Bold: shown to be better than every other arm." in text
    assert r"\dagger" not in text


def test_an_arm_without_a_trial_done_has_dashes_and_they_are_explained(make_report: MakeReport) -> None:
    report = make_report(blocks=("x", "y"), failed=[("random_uniform", replicate) for replicate in range(5)])
    tables = tables_of(write_latex(report))
    for label in ("quickstart-blocks", "quickstart-x-scores"):
        assert "better than every other arm with a result. --: no trial done." in caption_of(tables[label])
        assert rows_of(tables[label])[-1][:2] == [r"random\_uniform", "--"]


def test_without_a_clear_best_those_not_shown_to_be_worse_are_marked(make_report: MakeReport) -> None:
    report = make_report(num_replicates=2)
    (answer,) = report.summary.answers
    assert answer.not_worse
    assert find_bold(report.summary, "digits") is None
    text = write_latex(report)
    assert r"\textbf" not in text
    assert "Bold" not in text
    assert r"$^{\dagger}$ the best, and those not shown to be worse than it." in text
    table = tables_of(text)["quickstart-digits-scores"]
    marked = {row[0] for row in rows_of(table) if r"\rlap{$^{\dagger}$}" in row[1]}
    assert marked == {name.replace("_", r"\_") for name in (answer.best, *answer.not_worse) if name}


def test_a_block_can_have_a_best_where_another_has_none(make_report: MakeReport) -> None:
    report = make_report(blocks=("x", "y"))
    verdicts = tuple(replace(v, verdict="inconclusive") if v.block == "y" else v for v in report.summary.verdicts)
    report = replace(report, summary=replace(report.summary, verdicts=verdicts))
    rows = rows_of(tables_of(write_latex(report))["quickstart-blocks"])
    assert rows[0] == ["arm", "x", "y"]
    bold = [[cell.startswith(r"\textbf{") for cell in row[1:]] for row in rows[1:]]
    expected = [find_bold(report.summary, block) for block in ("x", "y")]
    assert expected == ["orthogonal", None]
    assert bold == [[arm == best for best in expected] for arm in report.summary.arm_labels]


def test_with_a_baseline_marks_are_against_it(make_report: MakeReport) -> None:
    report = make_report()
    against = replace(report, summary=_against(report, "random_normal"))
    (answer,) = against.summary.answers
    assert find_marks(answer) == {"orthogonal": "⁺", "random_uniform": "⁻"}
    assert find_bold(against.summary, "digits") is None, "orthogonal and random_uniform were not compared"
    text = write_latex(against)
    assert "$^{+}$ better than the baseline; $^{-}$ worse than the baseline." in text


def _against(report: ReportInput, baseline: str) -> Summary:
    results = [
        TrialResult(
            trial_id=f"{arm.arm}{replicate}",
            block=arm.block,
            arm=arm.arm,
            replicate=replicate,
            state="done",
            metrics={"test": {"accuracy": value}},
            epochs_trained=1,
            best_epoch=1,
            seconds=1.0,
        )
        for arm in report.summary.arms
        for replicate, value in arm.scores.items()
    ]
    summary = report.summary
    return summarise(
        results,
        StudyDesign(blocks=summary.blocks, arms=summary.arm_labels),
        Rules(metric="accuracy", baseline=baseline),
    )


def test_negative_figures_have_a_real_minus(make_report: MakeReport) -> None:
    table = tables_of(write_latex(make_report()))["quickstart-digits-pairs"]
    assert not re.search(r"(?<![\w$])-\d", table.split(r"\begin{tabular}")[1])
    assert re.search(r"\$\+\$0\.\d\d", table)


def test_many_pairs_are_cut_to_those_with_the_best_and_long_tables_come_in_parts(make_report: MakeReport) -> None:
    arms = [f"arm {number}" for number in range(45)]
    assert len(arms) * (len(arms) - 1) / 2 > MAX_PAIRS
    text = write_latex(make_report(arms=arms))
    check_structure(text)
    tables = tables_of(text)
    assert {"quickstart-digits-scores", "quickstart-digits-scores-2"} <= tables.keys()
    assert caption_of(tables["quickstart-digits-scores-2"]).endswith("Part 2 of 2.")
    pairs = rows_of(tables["quickstart-digits-pairs"])[2:] + rows_of(tables["quickstart-digits-pairs-2"])[2:]
    assert len(pairs) == len(arms) - 1
    assert all("arm 0" in (row[0], row[2]) for row in pairs)


@pytest.mark.parametrize("num_replicates", [0, 1])
def test_a_study_with_nothing_to_compare_still_has_its_table(make_report: MakeReport, num_replicates: int) -> None:
    text = write_latex(make_report(arms=("only",), num_replicates=num_replicates, published=()))
    check_structure(text)
    scored = ["quickstart-digits-all-train", "quickstart-digits-all-test"] if num_replicates else []
    assert list(tables_of(text)) == ["quickstart-digits-scores", *scored]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("preamble", ["", r"\usepackage[T1]{fontenc}"])
def test_pdflatex_sets_it_with_booktabs_alone(full_report: ReportInput, tmp_path: Path, preamble: str) -> None:
    styles = subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, check=False)
    if styles.returncode:
        pytest.skip("the booktabs package is not installed")
    (tmp_path / "tables.tex").write_text(write_latex(full_report), encoding="ascii")
    (tmp_path / "paper.tex").write_text(
        f"\\documentclass{{article}}\n{preamble}\n\\usepackage{{booktabs}}\n"
        "\\begin{document}\n\\listoftables\n\\input{tables}\n\\end{document}\n",
        encoding="ascii",
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    for _ in range(2):  # the second reads what the first wrote of captions
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
        assert ended.returncode == 0, ended.stdout[-3000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 10_000
    log = (tmp_path / "paper.log").read_text("latin-1")
    assert "Missing character" not in log
    assert "multiply defined" not in log
