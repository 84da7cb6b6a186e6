"""The wording of answers and verdicts, over the situations that a study can end in; `tests/stats` tests the facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bakeoff.stats.results import Summary
from bakeoff.stats.summary import Rules, StudyDesign, TrialResult, summarise
from bakeoff.stats.wording import write_pairing

NOISE = np.array([0.0010, -0.0012, 0.0004, -0.0002, 0.0])
OTHER = np.array([-0.0006, 0.0011, 0.0007, -0.0012, 0.0])
SHARED = np.array([0.003, -0.002, 0.0, 0.004, -0.005])
GOOD, FAIR, POOR = 0.979 + NOISE, 0.972 + OTHER, 0.940 - NOISE

Scores = Mapping[str, Sequence[float | None] | npt.NDArray[np.floating]]


def judge(
    scores: Scores,
    blocks: Sequence[str] = ("digits",),
    split: str = "test",
    same: Mapping[str, Sequence[tuple[str, ...]]] | None = None,
    crashed: str = "",
    **rules: Any,
) -> Summary:
    """Summarise scores by arm and replicate; None is a failed trial."""
    metric = rules.get("metric", "accuracy")
    results = [
        TrialResult(
            trial_id=f"{block}{arm}{replicate}",
            block=block,
            arm=arm,
            replicate=replicate,
            state="failed" if value is None else "done",
            metrics={} if value is None else {split: {metric: float(value)}},
            epochs_trained=1,
            best_epoch=1,
            seconds=1.0,
            crashed=value is None and arm == crashed,
        )
        for block in blocks
        for arm, values in scores.items()
        for replicate, value in enumerate(values)
    ]
    design = StudyDesign(blocks=blocks, arms=list(scores), num_classes=dict.fromkeys(blocks, 10), same=same or {})
    return summarise(results, design, Rules(**rules))


def list_answers() -> dict[str, Summary]:
    many = {f"arm{i}": 0.979 - 0.02 * i + np.roll(NOISE, i % 5) * (1 + i / 9) for i in range(6)}
    lost = [0.9, None, 0.91, None, 0.905]
    margin: dict[str, Any] = {"margin": 0.005}
    return {
        "a clear winner": judge({"glorot": FAIR, "he": GOOD, "random": POOR}),
        "a clear winner over many": judge(many),
        "no winner": judge({"X": 0.9792 + NOISE, "Y": 0.9788 + OTHER}),
        "better than one of two": judge({"X": GOOD, "Y": 0.978 + OTHER, "Z": POOR}),
        "a lead without spread": judge({"X": GOOD, "Y": 0.969 + NOISE}),
        "level": judge({"X": GOOD, "Y": GOOD}),
        "equivalent to one of two": judge(
            {"X": 0.979 + NOISE / 10, "Y": 0.9789 + OTHER / 10, "Z": 0.977 - 20 * NOISE}, **margin
        ),
        "all equivalent": judge({"X": 0.979 + NOISE / 10, "Y": 0.979 + OTHER / 10, "Z": 0.979 - NOISE / 10}, **margin),
        "a lead beyond the margin": judge({"X": GOOD, "Y": 0.969 + OTHER}, **margin),
        "a lead not beyond the margin": judge({"X": GOOD, "Y": 0.969 + OTHER}, margin=0.0095),
        "a lead beyond the margin over one": judge({"X": GOOD, "Y": 0.969 + OTHER, "Z": POOR}, margin=0.0095),
        "loss": judge({"X": 0.085 + OTHER * 10, "Y": 0.079 + NOISE * 10}, metric="loss"),
        "one arm": judge({"X": GOOD}),
        "two replicates": judge({"X": GOOD[:2], "Y": POOR[:2]}),
        "no trial with a score": judge({"X": [None], "Y": [None]}, failed="exclude"),
        "on the validation split": judge({"X": GOOD, "Y": POOR}, split="validation"),
        "failed trials count as chance": judge({"X": lost, "Y": FAIR}),
        "failed trials are left out": judge({"X": lost, "Y": FAIR}, failed="exclude"),
        "an arm without a score": judge({"X": GOOD, "Y": POOR, "Z": [None] * 5}, failed="exclude"),
        "an arm that crashed": judge({"X": GOOD, "Y": POOR, "Z": [None] * 5}, crashed="Z"),
        "two arms that always failed": judge({"X": GOOD, "Y": [None] * 5, "Z": [None] * 5}),
        "a collapsed replicate": judge({"X": [*GOOD[:4], 0.1], "Y": POOR - 0.3}),
        "the same training": judge({"X": GOOD, "Y": GOOD}, same={"digits": [("X", "Y")]}),
        "against a baseline": judge(
            {"X": GOOD, "base": FAIR, "Z": POOR, "W": 0.9725 + 5 * NOISE}, baseline="base", margin=0.001
        ),
        "a baseline without a score": judge({"X": GOOD, "base": [None] * 5}, baseline="base", failed="exclude"),
        "two blocks": judge({"X": GOOD, "Y": POOR}, blocks=("digits", "mnist")),
        "two blocks, against a baseline": judge({"base": GOOD, "Y": POOR}, ("digits", "mnist"), baseline="base"),
        "four blocks, by posterior": judge(
            {"X": GOOD, "Y": POOR}, blocks=("digits", "mnist", "cifar10", "letters"), method="bayes"
        ),
    }


def test_answers(golden: Callable[[str, str], None]) -> None:
    parts = []
    for situation, summary in list_answers().items():
        sentences = [summary.answers[0].sentence, summary.overall]
        reasons = [f"{v.a} {v.verdict} {v.b}: {v.reason}" for v in summary.verdicts[:1]]
        parts.append("\n".join([f"# {situation}", *reasons, *filter(None, sentences)]))
    golden("answers", "\n\n".join(parts))


def test_what_pairing_gains(golden: Callable[[str, str], None]) -> None:
    paired = judge({"X": 0.979 + SHARED + NOISE, "Y": 0.975 + SHARED + OTHER})
    apart = judge({"X": GOOD, "Y": 0.975 - NOISE, "Z": 0.97 + OTHER})
    golden("pairing", "\n".join(write_pairing(each.verdicts) for each in (paired, apart)))
