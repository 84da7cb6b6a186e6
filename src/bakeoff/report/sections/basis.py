"""What an answer rests on, in sentences: trials, statistics, final test, hardware and versions."""

from __future__ import annotations

from collections.abc import Iterator

from bakeoff.report.document import ReportInput
from bakeoff.report.notes import list_names
from bakeoff.report.parts import Bullets, Part, Section
from bakeoff.report.sections.understood import describe_runs, find_understood
from bakeoff.report.tables import EVERYWHERE
from bakeoff.report.text import count, duration, show_text, times
from bakeoff.stats.measure import join_names, percent
from bakeoff.stats.results import Summary


def describe_basis(report: ReportInput) -> list[str]:
    """Return what the answer rests on: a sentence or two on each topic."""
    if find_understood(report) is not None:
        sentences = [describe_runs(report), *report.notes, describe_statistics(report), _describe_machine(report)]
    else:
        sentences = [
            _describe_trials(report),
            *report.notes,
            describe_statistics(report),
            _describe_folds(report),
            describe_final_test(report),
            _describe_machine(report),
        ]
    return [show_text(sentence) for sentence in sentences if sentence]


def describe_final_test(report: ReportInput) -> str:
    """Say when and how often the test split was opened, and whether the study has changed since."""
    return " ".join(filter(None, (_describe_opening(report), _describe_change(report))))


def _describe_change(report: ReportInput) -> str:
    looks = report.earlier_looks
    if not looks:
        return ""
    names = list(dict.fromkeys(look.study for look in looks if look.study != report.name))
    who, before = "This study", " before it was changed"
    if names:
        who, before = f"{'Another study' if len(names) == 1 else 'Other studies'} ({list_names(tuple(names))})", ""
        if any(look.study == report.name for look in looks):
            who += " and this one, before it was changed,"
    first = "" if len(looks) == 1 else "first "
    return (
        f"{who} looked at these arms on these test images {times(len(looks))}{before}, "
        f"{first}at {_format_moment(looks[0].looked_at)}. Changes made since then may have been influenced by that."
    )


def _describe_opening(report: ReportInput) -> str:
    if not report.final_test_opened:
        resting = ": the verdicts rest on the validation split" if report.summary.verdicts else ""
        return f"The test split has not been opened{resting}."
    trials = count(report.num_tested, "trial")
    partly = ""
    if report.summary.split == "validation" and report.summary.verdicts:
        partly = " Not every trial was evaluated on it, so the verdicts rest on the validation split."
    opened = [_format_moment(moment) for moment in report.final_test_opened]
    if len(opened) == 1:
        return f"The test split was opened once, at {opened[0]}, for {trials}.{partly}"
    # If looks are on record, the sentence about them covers this.
    choices = "" if report.earlier_looks else " Choices made after the first time may have seen it."
    return (
        f"The test split was opened {times(len(opened))}, first at {opened[0]}, last at {opened[-1]}, for "
        f"{trials}.{choices}{partly}"
    )


def describe_progress(report: ReportInput) -> str:
    """Say how many trials are done, failed and reused, as a clause."""
    parts = [f"{report.num_done:,} of {count(report.num_planned, 'trial')} done"]
    if report.num_failed:
        parts.append(f"{report.num_failed:,} failed")
    if report.in_final_test:
        parts.append(f"{report.num_tested:,} evaluated in the final test so far")
    if report.num_reused and report.num_reused == report.num_done:
        parts.append("all found in the ledger: this run trained nothing")
    elif report.num_reused:
        parts.append(f"{report.num_reused:,} of them found in the ledger")
    return ", ".join(parts)


def describe_incompleteness(report: ReportInput) -> str:
    """Say how much of an unfinished study is done; empty for others."""
    return f"Unfinished: {describe_progress(report)}." if report.state == "unfinished" else ""


def _describe_trials(report: ReportInput) -> str:
    blocks, arms = len(report.summary.blocks), len(report.summary.arm_labels) - len(report.votes)
    folds = report.summary.num_folds or 1
    replicates = report.num_planned / max(1, blocks * arms * folds)
    shape = f"{count(blocks, 'block')} x {count(arms, 'arm')}"
    if report.summary.race is not None:
        shape += f" x {report.summary.race.at_least} to {report.summary.race.at_most} replicates"
    elif replicates == int(replicates):
        shape += f" x {count(int(replicates), 'replicate')}"
    if report.summary.num_folds is not None:
        shape += f" x {count(folds, 'fold')}"
    return f"{shape}: {describe_progress(report)}{_describe_time(report)}"


def _describe_time(report: ReportInput) -> str:
    """Say how long the study took. If trials were in the ledger already, say how long their training took."""
    trained = [arm for arm in report.summary.arms if arm.arm not in report.votes and arm.seconds is not None]
    seconds = sum(arm.seconds.mean * arm.replicates for arm in trained if arm.seconds is not None)
    cores = int(report.hardware.get("cores", "").partition(" ")[0] or 1)
    work = f"Training all of them took {duration(seconds)} of work"
    if report.num_reused:
        return f". {work}, {'all' if report.num_reused == report.num_done else 'part'} of it in earlier runs."
    elsewhere = f" {work}, most of it in other runs." if seconds > 2 * cores * report.seconds else ""
    return f", in {duration(report.seconds)}.{elsewhere}"


def describe_statistics(report: ReportInput) -> str:
    """Say what the verdicts compare, with which test, confidence and correction; empty without verdicts."""
    summary = report.summary
    measure, num_arms = summary.measure, len(summary.arm_labels)
    if num_arms < 2 or not summary.verdicts:
        return ""
    level = percent(summary.confidence)
    new_images = any(verdict.scope == "images" for verdict in summary.verdicts)
    unit = "group" if _list_group_sizes(summary) else "image"
    runs = "replicate by replicate" + (f" and {unit} by {unit}" if new_images else "")
    method = f"random effects of seeds and {unit}s, {level} intervals" if new_images else f"paired t, {level} intervals"
    unpaired = [verdict.unpaired is not None for verdict in summary.verdicts]
    if any(unpaired):
        runs, method = _say_unpaired(method, runs, is_all=all(unpaired))
    if summary.num_folds is not None:
        runs, method = "fold by fold", f"corrected resampled t, {level} intervals"
    elif summary.race is not None:
        method = f"sequential t; p values and {level} intervals hold wherever the race stopped"
    if any(verdict.borrowed for verdict in summary.verdicts):
        method += ", variances borrowed across arms"
    margin = "" if summary.margin is None else f" Differences within {measure.distance(summary.margin)} do not matter."
    if summary.method == "bayes":
        of = f"by posterior probabilities of {level}, each pair on its own"
        return f"Verdicts compare {measure.label} {runs} {of}.{margin}"
    return (
        f"Verdicts compare {measure.label} {runs} ({method}); {describe_family(summary)}.{margin}{_say_groups(summary)}"
    )


def _say_unpaired(method: str, runs: str, *, is_all: bool) -> tuple[str, str]:
    """Say how arms without seeds in common are compared: all, or some beside those that are paired."""
    if is_all:
        return "mean against mean, unpaired", method.replace("paired t", "Welch's t")
    return f"{runs} or, where replicates do not match, unpaired", method.replace("paired t", "paired t, or Welch's")


def _list_group_sizes(summary: Summary) -> list[tuple[int, int]]:
    """Return (images, groups) of the test splits whose images come in groups."""
    spreads = [verdict.spread for verdict in summary.verdicts if verdict.spread is not None]
    return sorted({(each.num_grouped, each.num_images) for each in spreads if each.num_grouped is not None})


def _say_groups(summary: Summary) -> str:
    """Say how many groups the test images come in, for only groups are independent; empty without any."""
    sizes = _list_group_sizes(summary)
    counted = [f"{images:,} test images in {groups:,} groups" for images, groups in sizes]
    return f" Only groups of images count as independent: {join_names(counted)}." if counted else ""


def describe_family(summary: Summary) -> str:
    """Say what p values are adjusted for, as a clause."""
    num_arms, num_blocks = len(summary.arm_labels), len(summary.blocks)
    num_pairs = num_arms * (num_arms - 1) // 2 if summary.baseline is None else num_arms - 1
    against = "" if summary.baseline is None else f", every other arm against {summary.baseline}"
    looks = f", and for {len(summary.looks)} looks" if len(summary.looks) > 1 else ""
    if len(summary.looks) == 1 and summary.looks[0].share < 1:
        spent = 100 * summary.looks[0].share
        looks = (
            f"; this first look may use {spent:.0f}% of the error rate, and later looks the other {100 - spent:.0f}%"
        )
    if num_blocks == 1 or summary.family == "study":
        where = f" in {num_blocks} blocks together" if num_blocks > 1 else ""
        # Arms that were dropped after a look still count.
        looked_at = sum(summary.looks[-1].num_pairs.values()) if summary.looks else 0
        number = max(num_pairs * num_blocks, looked_at)
        where += " ever looked at" if number > num_pairs * num_blocks else ""
        pairs = {1: "one pair", 2: "both pairs"}.get(number, f"all {number:,} pairs")
        verb = "adjusted for" if number > 1 else "of"
        alone = ", not intervals," if number > 1 else ""
        name = f" ({_name_correction(summary)})" if number > 1 else ""
        return f"p values{alone} are {verb} {pairs}{where}{against}{name}{looks}"
    most = 1 - summary.confidence**num_blocks
    return (
        f"p values, not intervals, are adjusted for {count(num_pairs, 'pair')} of each block{against} "
        f"({_name_correction(summary)}){looks}, not for "
        f"{num_blocks} blocks: were all arms equal, a study like this would hold a false verdict in up to {most:.0%}"
    )


def _name_correction(summary: Summary) -> str:
    return "Bonferroni" if any(verdict.borrowed for verdict in summary.verdicts) else "Holm"


def _describe_folds(report: ReportInput) -> str:
    """Say which images judge the models of folds; empty without folds."""
    if report.summary.split != "held-out":
        return ""
    return (
        "Each image is scored by the model whose fold held it out; early stopping and selection used a validation "
        "split of the other folds. All folds share the test split, so scores on it give no verdict."
    )


def _describe_machine(report: ReportInput) -> str:
    numeric = f"Numeric mode {report.numeric}" if report.numeric else ""
    parts = [numeric, *report.hardware.values(), *(f"{name} {text}" for name, text in report.versions.items())]
    text = ", ".join(part for part in parts if part)
    return f"{text}." if text else ""


def _format_moment(iso_time: str) -> str:
    """Format an ISO time to the minute, such as "2025-01-31 12:00 UTC"."""
    date, separator, clock = iso_time.partition("T")
    if not separator or not clock.endswith(("Z", "+00:00")):
        return iso_time
    return f"{date} {clock[:5]} UTC"


def write_basis(report: ReportInput) -> Iterator[Part]:
    """Yield what the answer rests on."""
    yield Bullets(lines=tuple(describe_basis(report)), role="quiet", media=EVERYWHERE)


SECTION = Section(name="basis", title="What it rests on", write=write_basis)
