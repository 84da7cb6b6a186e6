"""Runs that others trained, judged: the verdicts of our own studies, from their exported scores and predictions."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_ind

import bakeoff
from bakeoff.api import Result, Study, run
from bakeoff.cli import main
from bakeoff.errors import BakeoffError, DataError
from bakeoff.stats.results import Verdict
from bakeoff.workspace import Folders

pytestmark = pytest.mark.usefixtures("shared_cache", "in_process")


def make_study(**fields: Any) -> Study:
    values: dict[str, Any] = {
        "question": "Which learning rate?",
        "name": "tiny",
        "data": {"validation": 0.2},
        "recipe": {"network": {"name": "mlp", "units": [8]}, "epochs": 1, "batch_size": 128},
        "arms": [{"optimizer.learning_rate": [0.001, 0.003, 0.01]}],
        "replicates": 3,
        "numeric": "float32",
        "decide": {"margin": 0.01},
    }
    return Study(**{**values, **fields})


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return run(make_study(), workspace=tmp_path_factory.mktemp("judged") / "runs", workers=1, final_test=False)


@pytest.fixture(scope="module")
def tested(validated: Result) -> Result:
    return run(make_study(), workspace=validated.workspace, workers=1)


def figures(verdicts: tuple[Verdict, ...]) -> list[tuple[Any, ...]]:
    return [(v.a, v.b, v.verdict, v.difference, v.interval, v.p, v.p_adjusted, v.needed) for v in verdicts]


def test_exported_scores_give_the_studys_verdicts(validated: Result, tmp_path: Path) -> None:
    file = tmp_path / "trials.csv"
    file.write_text(validated.to_csv("trials"))
    judged = bakeoff.judge(file, metric="validation_accuracy_share", margin=0.01)
    assert validated.summary.split == "validation"
    assert figures(judged.verdicts) == figures(validated.summary.verdicts)
    assert judged.summary.answers[0].best == validated.summary.answers[0].best


def export_predictions(result: Result, folder: Path, *, is_shuffled: bool = False) -> None:
    rng = np.random.default_rng(0)
    for row in result.to_records("trials"):
        arrays = Folders(result.workspace).load_predictions(str(row["trial_id"]), "test")
        assert arrays is not None
        order = rng.permutation(len(arrays["labels"])) if is_shuffled else np.arange(len(arrays["labels"]))
        file = folder / str(row["arm"]) / f"seed{row['replicate']}.npz"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **{name: values[order] for name, values in arrays.items()})


def test_exported_predictions_give_the_studys_verdicts(tested: Result, tmp_path: Path) -> None:
    export_predictions(tested, tmp_path / "predictions")
    judged = bakeoff.judge(tmp_path / "predictions", margin=0.01)
    own = [(v.a, v.b, v.difference, v.interval, v.p, v.scope, v.num_images) for v in tested.summary.verdicts]
    assert [(v.a, v.b, v.difference, v.interval, v.p, v.scope, v.num_images) for v in judged.verdicts] == own
    # The study's first look may spend 90% of the error rate; runs without a ledger have one look.
    for ours, theirs in zip(judged.verdicts, tested.summary.verdicts, strict=True):
        assert ours.p_adjusted == pytest.approx(min(1.0, 0.9 * (theirs.p_adjusted or 0.0)), rel=1e-9) or (
            theirs.p_adjusted == 1.0
        )
    assert judged.report.evidence[0].averages == pytest.approx(tested.report.evidence[0].averages)
    assert judged.report.evidence[0].confusion == tested.report.evidence[0].confusion


def test_the_order_of_images_does_not_matter(tested: Result, tmp_path: Path) -> None:
    export_predictions(tested, tmp_path / "one")
    export_predictions(tested, tmp_path / "other", is_shuffled=True)
    one, other = (bakeoff.judge(tmp_path / name).verdicts for name in ("one", "other"))
    for a, b in zip(one, other, strict=True):
        assert a.p == pytest.approx(b.p, rel=1e-6)


def test_the_exported_table_of_predictions_is_judged_by_classes(tested: Result, tmp_path: Path) -> None:
    file = tmp_path / "all.csv"
    file.write_text(tested.to_csv("predictions"))
    judged = bakeoff.judge(str(file))
    assert judged.verdicts[0].scope == "images"
    assert [v.difference for v in judged.verdicts] == pytest.approx([v.difference for v in tested.summary.verdicts])
    evidence = judged.report.evidence[0]
    assert evidence.roc is None
    assert "loss" not in evidence.averages
    assert "macro_f1" in evidence.averages
    with pytest.raises(DataError, match="needs probabilities"):
        bakeoff.judge(str(file), metric="loss")


SCORES = {"a": [0.91, 0.92, 0.93, 0.92], "b": [0.81, 0.82, 0.84], "c": [0.80, 0.82, 0.81, 0.80]}


def test_scores_by_arm_are_unpaired_unless_said_otherwise() -> None:
    judged = bakeoff.judge(SCORES, metric="acc", method="paired")
    expected = ttest_ind(SCORES["a"], SCORES["b"], equal_var=False)
    assert judged.verdicts[0].unpaired == (4, 3)
    assert judged.verdicts[0].p == pytest.approx(expected.pvalue, rel=1e-9)
    paired = bakeoff.judge(SCORES, metric="acc", paired=True)
    assert [verdict.unpaired for verdict in paired.verdicts] == [None] * 3
    by_seed = bakeoff.judge({"a": {1: 0.9, 2: 0.91, 3: 0.93}, "b": {3: 0.8, 1: 0.81, 2: 0.83}}, metric="acc")
    assert by_seed.verdicts[0].unpaired is None
    assert by_seed.verdicts[0].sd == pytest.approx(np.std([0.09, 0.08, 0.13], ddof=1))


def test_frames_and_dictionaries_are_read() -> None:
    pandas = pytest.importorskip("pandas")
    rows = [{"model": arm, "seed": seed, "acc": score} for arm, own in SCORES.items() for seed, score in enumerate(own)]
    one, other = bakeoff.judge(rows), bakeoff.judge(pandas.DataFrame(rows))
    assert figures(one.verdicts) == figures(other.verdicts)
    baseline = bakeoff.judge(rows, against="c", lower_is_better=True)
    assert baseline.summary.baseline == "c"
    assert not baseline.summary.measure.record.higher_is_better
    with pytest.raises(DataError, match="empty"):
        bakeoff.judge([])


def test_seeds_beside_an_empty_cell_are_read() -> None:
    pandas = pytest.importorskip("pandas")
    seeds = [20261101, 20261102, 20261103]
    frame = pandas.DataFrame({"model": ["a"] * 4 + ["b"] * 4, "seed": [*seeds, None] * 2, "acc": [0.9, 0.8] * 4})
    with pytest.raises(DataError, match="row 4 has no replicate"):
        bakeoff.judge(frame)
    assert bakeoff.judge(frame.dropna()).summary.arms[0].replicates == 3


def test_two_arms_are_compared() -> None:
    found = bakeoff.compare(SCORES["a"], SCORES["b"], names=("new", "old"), method="paired", metric="acc")
    expected = ttest_ind(SCORES["a"], SCORES["b"], equal_var=False)
    assert found.word == "better"
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9)
    assert "new" in found.sentence
    assert "<p>" in found._repr_html_()
    with pytest.raises(BakeoffError, match="two names"):
        bakeoff.compare([1.0], [2.0], names=("x", "x"))


def test_two_arms_are_compared_by_predictions() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 500)
    a, b = (np.where(rng.random((3, 500)) < rate, labels, (labels + 1) % 4) for rate in (0.95, 0.7))
    found = bakeoff.compare(a, b, labels=labels)
    assert found.word == "better"
    assert found.verdict.scope == "images"
    assert found.verdict.unpaired == (3, 3)
    assert bakeoff.compare(a, b, labels=labels, paired=True).verdict.unpaired is None
    seeds = bakeoff.compare(a, b, labels=labels, scope="seeds").verdict
    assert seeds.scope == "seeds"
    with pytest.raises(BakeoffError, match="labels="):
        bakeoff.compare(a, b)
    with pytest.raises(DataError, match="shape"):
        bakeoff.compare(a, b, labels=labels[:9])


def write_predictions(folder: Path, **changes: Any) -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 60)
    for arm, rate in (("good", 0.9), ("poor", 0.5)):
        for seed in range(3):
            called = np.where(rng.random(60) < rate, labels, (labels + 1) % 3)
            arrays = {"labels": labels, "predictions": called, "ids": np.arange(60)}
            if (arm, seed) == ("poor", 1):
                arrays |= changes
            np.savez(folder / f"{arm}_{seed}.npz", **arrays)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": np.zeros(60, dtype=int)}, "an image has one label"),
        ({"ids": np.arange(60) + 1}, "has no prediction of image"),
        ({"ids": np.zeros(60)}, "two predictions of image"),
        ({"ids": np.arange(59)}, "ids of images"),
        ({"predictions": np.array([{}] * 60, dtype=object)}, "cannot be read"),
        ({"predictions": np.full((60, 3), np.nan)}, "NaN"),
        ({"predictions": np.full((60, 3), -3.0)}, "softmax"),
    ],
)
def test_predictions_that_do_not_fit_are_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    write_predictions(tmp_path, **changes)
    with pytest.raises(DataError, match=words):
        bakeoff.judge(tmp_path)


def write_probabilities(folder: Path) -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 60)
    for arm, rate in (("good", 3.0), ("poor", 1.0)):
        for seed in range(3):
            given = rng.dirichlet(np.ones(3), 60) + rate * np.eye(3)[labels]
            np.savez(folder / f"{arm}_{seed}.npz", labels=labels, probabilities=given / given.sum(1, keepdims=True))


@pytest.mark.parametrize(
    "metric", ["roc_auc", "log_loss", "brier", "ece", "mcc", "balanced_accuracy", "top_2_accuracy"]
)
def test_predictions_are_judged_by_every_metric(tmp_path: Path, metric: str) -> None:
    write_probabilities(tmp_path)
    judged = bakeoff.judge(tmp_path, metric=metric)
    assert all(metric in arm.test for arm in judged.summary.arms)
    assert judged.verdicts[0].interval is not None


@pytest.mark.parametrize("metric", ["loss", "roc_auc", "log_loss", "brier", "ece", "top_2_accuracy"])
def test_classes_alone_have_no_score_of_probabilities(tmp_path: Path, metric: str) -> None:
    write_predictions(tmp_path)
    with pytest.raises(DataError, match="needs probabilities"):
        bakeoff.judge(tmp_path, metric=metric)


def test_npz_is_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    write_predictions(tmp_path, predictions=np.array([Trap()] * 60, dtype=object))
    with pytest.raises(DataError):
        bakeoff.judge(tmp_path)
    assert not (tmp_path / "sprung").exists()


def write_scores(folder: Path, text: str = "") -> str:
    rows = [f"{arm},{seed},{score}" for arm, own in SCORES.items() for seed, score in enumerate(own)]
    file = folder / "scores.csv"
    file.write_text(text or "\n".join(["model,seed,acc", *rows]))
    return str(file)


def test_the_command_says_what_it_understood_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_scores(tmp_path)
    out = tmp_path / "report.html"
    monkeypatch.setattr("sys.argv", ["bakeoff", "judge", source, "--out", str(out), "--margin", "1 points"])
    assert main() == 0
    printed = capsys.readouterr().out
    assert printed.index("source") < printed.index("verdict")
    assert "What was understood" in out.read_text()


def test_what_is_required_of_the_runs_sets_the_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        f"{arm},{seed},{score + seed**2 * step}"
        for arm, score, step in (("old", 0.8, 1e-3), ("new", 0.9, 2e-3))
        for seed in range(5)
    ]
    (tmp_path / "scores.csv").write_text("\n".join(["arm,seed,accuracy", *rows]))
    statuses = {}
    for relation in ("better", "worse", "bettter", "equivalent"):
        argv = ["bakeoff", "judge", str(tmp_path / "scores.csv"), "--require", f"new {relation} old", "--json"]
        monkeypatch.setattr("sys.argv", argv)
        statuses[relation] = main()
        document = capsys.readouterr().out
        if statuses[relation] != 2:
            assert json.loads(document)["requirements"][0]["met"] == (relation == "better")
    assert statuses == {"better": 0, "worse": 3, "bettter": 2, "equivalent": 2}


@pytest.mark.parametrize(("metric", "is_met"), [("Top-1 (%)", True), ("my loss", False)])
def test_requirements_are_of_any_column(metric: str, is_met: bool) -> None:
    rows = [
        {"model": arm, "seed": seed, metric: score + seed**2 * step}
        for arm, score, step in (("old", 80.0, 0.1), ("new", 90.0, 0.2))
        for seed in range(5)
    ]
    judged = bakeoff.judge(rows, metric=metric, margin=0.01)
    assert [finding.is_met for finding in judged.check("new better old", "new not-worse old")] == [is_met] * 2


def test_scikit_learns_results_in_npz_are_no_predictions(tmp_path: Path) -> None:
    for arm, score in (("svm", 0.9), ("tree", 0.8)):
        np.savez(tmp_path / f"{arm}.npz", test_score=score + np.arange(5) / 100, fit_time=np.ones(5))
    assert bakeoff.judge(tmp_path).summary.arm_labels == ("svm", "tree")


def test_the_document_is_a_studys(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr("sys.argv", ["bakeoff", "judge", write_scores(tmp_path), "--json", "--map", "arm=model"])
    assert main() == 0
    document = json.loads(capsys.readouterr().out)
    assert {"answers", "verdicts", "arms", "power", "understood", "versions"} <= set(document)
    assert document["understood"]["metric"].startswith("acc")
    assert document["verdicts"][0]["scope"] == "seeds"


@pytest.mark.parametrize("suffix", [".md", ".html", ".json"])
def test_reports_are_written(tmp_path: Path, suffix: str) -> None:
    blocks = [f"{d},{m},{s},{0.9 if m == 'a' else 0.8}{s}" for d in "xy" for m in "ab" for s in range(3)]
    source = write_scores(tmp_path, "\n".join(["dataset,model,seed,acc", *blocks]))
    judged = bakeoff.judge(source)
    text = judged.write(tmp_path / f"report{suffix}").read_text()
    assert "x" in text
    assert "test split" not in text
    assert judged.report.across is not None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "report.pdf"], ".md, .html or .json"),
        (["--scope", "images"], "needs predictions"),
        (["--against", "d"], "no such arm"),
        (["--margin", "2"], "goes from 0 to 1"),
        (["--map", "arm"], "NAME=VALUE"),
        (["--map", "amr=model"], "Did you mean 'arm'"),
        (["--confidence", "95"], "confidence"),
        (["--from", "mlflo"], "unknown importer"),
    ],
)
def test_mistakes_end_with_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any, arguments: list[str], words: str
) -> None:
    monkeypatch.setattr("sys.argv", ["bakeoff", "judge", write_scores(tmp_path), *arguments])
    assert main() == 2
    errors = capsys.readouterr().err
    assert words in errors
    assert len(errors.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no rows"),
        (",,,\n", "no rows"),
        ("model,seed,acc\n", "no rows"),
        ("a,a\n1,2\n", "two columns"),
        ("a,b\n1,2,3\n", "3 values"),
        ("model,acc\na,9e307\nb,-9e307\n", "too large"),
        ("model;acc\na;0,91\nb;0,92\n", "0.91 for 0,91"),
        ("m\0o\0d\0e\0l\0,\0a\0\n\0", "UTF-16"),
    ],
)
def test_files_that_are_no_tables_are_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "x.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=words):
        bakeoff.judge(file)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_and_empty_paths_are_refused(tmp_path: Path) -> None:
    """Reading from a pipe to which nobody writes would wait forever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="neither a file nor a folder"):
        bakeoff.judge(tmp_path / "pipe")
    with pytest.raises(DataError, match="empty"):
        bakeoff.judge("")
    with pytest.raises(DataError, match="a does not exist"):
        bakeoff.judge("a" * 300)


def test_json_lines_and_parquet_are_read(tmp_path: Path) -> None:
    rows = [{"model": arm, "seed": seed, "acc": score} for arm, own in SCORES.items() for seed, score in enumerate(own)]
    lines = tmp_path / "scores.jsonl"
    lines.write_text("\n".join(map(json.dumps, rows)))
    expected = figures(bakeoff.judge(write_scores(tmp_path)).verdicts)
    assert figures(bakeoff.judge(lines).verdicts) == expected
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    pandas.DataFrame(rows).to_parquet(tmp_path / "scores.parquet")
    assert figures(bakeoff.judge(tmp_path / "scores.parquet").verdicts) == expected


def test_equal_scores_within_a_margin_are_too_few_and_foretell_nothing() -> None:
    """Three equal pairs have a sign-flip p of 1/8; that they do not spread says nothing of the next ones."""
    scores = {"a": [0.91, 0.92, 0.905], "b": [0.91, 0.92, 0.905]}
    found = bakeoff.judge(scores, metric="accuracy", margin=0.01, paired=True)
    (verdict,) = found.verdicts
    assert verdict.verdict == "inconclusive"
    assert "too few" in verdict.reason
    assert not found.report.facts["power"].blocks


def test_constant_scores_say_so() -> None:
    judged = bakeoff.judge({"a": [0.9] * 4, "b": [0.8] * 4}, metric="acc")
    assert judged.verdicts[0].verdict == "better"
    assert judged.verdicts[0].interval is None


def test_the_documented_example_is_what_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parent.parent / "docs" / "judge.md").read_text("utf-8")
    _, scores, _, shown, *_ = text.split("```")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    Path("scores.csv").write_text(scores.removeprefix("csv\n"))
    monkeypatch.setattr("sys.argv", ["bakeoff", "judge", "scores.csv", "--margin", "1 points"])
    assert main() == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert "\n".join(printed).startswith(shown.strip("\n"))


def test_compressed_predictions_are_read(tmp_path: Path) -> None:
    rng, labels = np.random.default_rng(0), np.arange(200) % 2
    for arm, share in (("good", 0.1), ("bad", 0.4)):
        for seed in range(3):
            (tmp_path / arm).mkdir(exist_ok=True)
            predictions = np.where(rng.random(200) < share, 1 - labels, labels)
            np.savez_compressed(tmp_path / arm / f"{seed}.npz", labels=labels, predictions=predictions)
    assert bakeoff.judge(tmp_path).summary.arm_labels == ("bad", "good")
