"""Reports on runs that others trained: a study's report without a ledger."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

from bakeoff.driver.trial_spread import measure_trials
from bakeoff.errors import UnknownNameError, nearest
from bakeoff.foreign.mapping import Runs
from bakeoff.foreign.predictions import Predicted
from bakeoff.report.document import ReportInput
from bakeoff.report.evidence import BlockEvidence, ImageScores, gather_contributions, gather_evidence
from bakeoff.report.sections.understood import Understood
from bakeoff.report.text import count
from bakeoff.stats.across import summarise_blocks
from bakeoff.stats.borrowed_power import ExpectedDegrees
from bakeoff.stats.family import list_family
from bakeoff.stats.measure import join_names
from bakeoff.stats.prospect import Aim, Prospect, look_ahead
from bakeoff.stats.prospects import Prospects
from bakeoff.stats.results import Rules, Summary, TrialResult, Verdict
from bakeoff.stats.sources import VarianceSource
from bakeoff.stats.summary import StudyDesign, summarise
from bakeoff.stats.unpaired import is_paired

_PROBABILISTIC = ("macro_auc", "loss", "expected_calibration_error")
_MOST_ARMS_LISTED = 8


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of runs beside their scores; nothing, if they are scores alone.

    Attributes:
        load: reads predictions by trial id and split.
        class_names, num_images: by block.
        has_probabilities: whether predictions are more than classes.
    """

    load: Callable[[str, str], Mapping[str, Any] | None] = lambda trial_id, split: None
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    num_images: Mapping[str, int] = field(default_factory=dict)
    has_probabilities: bool = False

    @classmethod
    def of(cls, predicted: Predicted) -> Evidence:
        """Return what predictions tell."""
        return cls(
            load=predicted.load,
            class_names=predicted.class_names,
            num_images=predicted.num_images,
            has_probabilities=predicted.has_probabilities,
        )

    @property
    def is_known(self) -> bool:
        """Whether there are predictions."""
        return bool(self.num_images)


def judge_runs(runs: Runs, rules: Rules, evidence: Evidence, command: str = "") -> ReportInput:
    """Judge runs as a study's trials are, and return what reports are made from.

    Raises:
        BakeoffError: the baseline is no arm.
    """
    _check_baseline(runs, rules)
    images = ImageScores()
    if evidence.is_known:
        images = gather_contributions(runs.results, rules.metric, evidence.load)
    design = StudyDesign(blocks=runs.blocks, arms=runs.arms, num_folds=runs.num_folds)
    summary = summarise(runs.results, design, rules, by_image=images.by_trial, groups=images.groups)
    # Another tool's epochs and times are not known.
    summary = replace(summary, arms=tuple(replace(arm, epochs=None, seconds=None) for arm in summary.arms))
    found = gather_evidence(runs.results, summary, evidence.class_names, evidence.load) if evidence.is_known else ()
    facts = {
        "understood": _describe(runs, summary, evidence),
        "power": _look_ahead(runs, summary, evidence),
    }
    return ReportInput(
        name=runs.name,
        question=f"Which arm is better in {summary.measure.label}?",
        state="done",
        summary=summary,
        num_done=len(runs.results),
        num_failed=0,
        num_reused=0,
        num_planned=len(runs.results),
        data={
            block: {"num_images": number, "class_names": list(evidence.class_names[block])}
            for block, number in evidence.num_images.items()
        },
        evidence=found if evidence.has_probabilities else tuple(map(_leave_classes, found)),
        across=summarise_blocks(summary) if summary.verdicts and len(summary.blocks) > 1 else None,
        versions={
            "bakeoff": _read_version(),
            "numpy": version("numpy"),
            "python": platform.python_version(),
            "scipy": version("scipy"),
        },
        command=command,
        facts=facts,
    )


def _read_version() -> str:
    from bakeoff import __version__

    return __version__


def _check_baseline(runs: Runs, rules: Rules) -> None:
    if rules.baseline is not None and rules.baseline not in runs.arms:
        raise UnknownNameError(
            f"--against {rules.baseline}: there is no such arm. Arms: {', '.join(runs.arms)}."
            f"{nearest(rules.baseline, runs.arms)}"
        )


def _leave_classes(evidence: BlockEvidence) -> BlockEvidence:
    """Return evidence without what needs probabilities, where only classes are known."""
    known = {
        name: value
        for name, value in evidence.averages.items()
        if name not in _PROBABILISTIC and not name.startswith("top_")
    }
    return replace(
        evidence,
        averages=known,
        classes=tuple(replace(row, auc=None) for row in evidence.classes),
        reliability=(),
        roc=None,
    )


# --- What was understood ------------------------------------------------------------------------------------------


def _describe(runs: Runs, summary: Summary, evidence: Evidence) -> Understood:
    measure = summary.measure
    unit = " in %" if measure.record.is_share else ""
    better = "more is better" if measure.record.higher_is_better else "less is better"
    rows = [("source", f"{runs.source} ({runs.tool})"), ("arms", _say_arms(runs, summary))]
    rows.append(("replicates", _say_replicates(runs, summary)))
    if len(runs.blocks) > 1:
        rows.append(("blocks", f"{join_names(list(runs.blocks))}{_by(runs, 'block')}"))
    if runs.num_folds is not None:
        rows.append(("folds", f"{runs.num_folds}{_by(runs, 'fold')}; the same ones are compared"))
    rows.append(("metric", f"{measure.label}{unit}, {better}"))
    rows += [("images", _say_images(evidence))] if evidence.is_known else []
    rows += [("pairs", _say_pairs(runs, summary)), ("verdicts hold for", _say_scope(summary, evidence))]
    return Understood(rows=tuple(rows), notes=runs.notes)


def _by(runs: Runs, role: Any) -> str:
    return f" (by {runs.roles[role]})" if role in runs.roles else ""


def _say_arms(runs: Runs, summary: Summary) -> str:
    numbers = {arm: sum(result.arm == arm for result in runs.results) for arm in runs.arms}
    listed = [f"{arm} ({count(number, 'run')})" for arm, number in numbers.items()][:_MOST_ARMS_LISTED]
    more = f" and {len(numbers) - len(listed)} more" if len(numbers) > len(listed) else ""
    return f"{', '.join(listed)}{more}{_by(runs, 'arm')}"


def _say_replicates(runs: Runs, summary: Summary) -> str:
    numbers = sorted({len(arm.scores) for arm in summary.arms if arm.scores})
    many = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    where = " and block" if len(runs.blocks) > 1 else ""
    return f"{many} of each arm{where}{_by(runs, 'replicate') or ' (numbered in the order of the rows)'}"


def _say_images(evidence: Evidence) -> str:
    numbers = [f"{number:,}" for number in evidence.num_images.values()]
    classes = sorted({len(names) for names in evidence.class_names.values()})
    kind = "probabilities" if evidence.has_probabilities else "classes, without probabilities"
    return f"{join_names(numbers)} of {join_names([str(each) for each in classes])} classes; predictions are {kind}"


def _say_pairs(runs: Runs, summary: Summary) -> str:
    if runs.num_folds is not None:
        return "fold by fold"
    verdicts = summary.verdicts
    unpaired = [verdict for verdict in verdicts if verdict.unpaired is not None]
    partly = [verdict for verdict in verdicts if verdict.unpaired is None and _is_partial(summary, verdict)]
    by = runs.roles.get("replicate", "replicate")
    if not verdicts:
        return "none: no two arms have scores in a block"
    if not unpaired:
        some = f"; in {_count_pairs(len(partly), len(verdicts))}, only those that both have" if partly else ""
        return f"run by run, by {by}{some}"
    if len(unpaired) < len(verdicts):
        some = "; of the former, some have further runs, which are left out" if partly else ""
        return (
            f"run by run, by {by}, in {_count_pairs(len(verdicts) - len(unpaired), len(verdicts))}; in the others "
            f"fewer than half of the runs match, so all are compared unpaired{some}"
        )
    if summary.pairing == "never":
        reason = f"{by} is not to pair them" if runs.has_ids else "runs have no seeds or numbers that could match"
    else:
        reason = f"too few runs of two arms have the same {by}"
    return f"unpaired: {reason}"


def _count_pairs(number: int, of: int) -> str:
    return f"{number} of {count(of, 'pair')}"


def _is_partial(summary: Summary, verdict: Verdict) -> bool:
    arms = {arm.arm: arm for arm in summary.arms_of(verdict.block)}
    return any(len(arms[name].scores) > verdict.replicates for name in (verdict.a, verdict.b))


def _say_scope(summary: Summary, evidence: Evidence) -> str:
    if summary.num_folds is not None:
        return "new training and test images of this kind"
    if any(verdict.scope == "images" for verdict in summary.verdicts):
        return "new seeds and new images of this kind"
    if evidence.is_known:
        return "new seeds on these images"
    return "new seeds on these images; scores alone say nothing of new ones, predictions would"


# --- What more replicates would show ------------------------------------------------------------------------------


def _look_ahead(runs: Runs, summary: Summary, evidence: Evidence) -> Prospects:
    if summary.num_folds is not None:
        return Prospects(reason="with folds nothing can be said of power: they share training images")
    if summary.method == "bayes":
        return Prospects(reason="posterior probabilities have no error rate at which power could be computed")
    found = (_look_at(block, runs, summary, evidence) for block in summary.blocks)
    return Prospects(blocks=tuple(each for each in found if each is not None))


def _look_at(block: str, runs: Runs, summary: Summary, evidence: Evidence) -> Prospect | None:
    arms = [arm for arm in summary.arms_of(block) if len(arm.scores) > 1]
    if len(arms) < 2 or summary.split not in ("test", "validation"):
        return None
    own = [result for result in runs.results if result.block == block]
    scores = [{result.replicate for result in own if result.arm == arm.arm} for arm in arms]
    if not all(is_paired(one, other, summary.pairing) for one, other in list_family(scores)):
        own = _number_anew(own)
    source = measure_trials(
        own,
        summary.metric_record,
        "test" if summary.split == "test" else "validation",
        baseline=summary.baseline,
        num_images=evidence.num_images.get(block),
        load=evidence.load,
        kind="trials",
        study=runs.name,
    )
    return None if source is None else _aim(block, runs, summary, source, min(len(arm.scores) for arm in arms))


def _number_anew(results: Sequence[TrialResult]) -> list[TrialResult]:
    """Return unpaired runs with numbers that match: differences of any two spread as those of new ones would."""
    numbers: dict[str, int] = {}
    found = []
    for result in results:
        numbers[result.arm] = numbers.get(result.arm, -1) + 1
        found.append(replace(result, replicate=numbers[result.arm]))
    return found


def _aim(block: str, runs: Runs, summary: Summary, source: VarianceSource, fewest: int) -> Prospect:
    num_arms = len(summary.arm_labels)
    families = 1 if summary.family == "block" else len(summary.blocks)
    of_block = len(list_family(summary.arm_labels, summary.baseline))
    num_images = None if source.spread is None else source.spread.num_images
    aim = Aim(
        measure=summary.measure,
        replicates=fewest,
        level=(1 - summary.confidence) / (families * of_block),
        num_pairs=families * of_block,
        margin=summary.margin,
        scope="images" if any(verdict.scope == "images" for verdict in summary.verdicts) else "seeds",
        num_images=num_images,
        num_tested=fewest,
        allows_pilot=False,
    )
    if summary.method == "moderated":
        degrees = ExpectedDegrees(num_arms=num_arms, num_pairs=of_block, num_blocks=families, level=aim.level)
        source = source.judge_by(degrees)
    return look_ahead(block, aim, source)
