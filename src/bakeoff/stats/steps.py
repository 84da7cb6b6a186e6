"""An ablation chain step by step: what each change adds to the arm it was made on, and to the start of its chain.

The pairs of a chain are a family of their own within each block: one Holm correction over all steps and all comparisons
with a start. They are fewer than all pairs of arms, so a step is told apart sooner; and they are a second family beside
the study's own, each with its own 1 - confidence of a false verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.stats.judging import Judging, judge_pairs
from bakeoff.stats.results import Summary, Verdict


@dataclass(frozen=True, kw_only=True)
class Link:
    """One step of a chain, as the study declares it.

    Attributes:
        arm: what the step leads to.
        base: the arm it was made on; None for a start.
        start: the first arm of the chain, `base` itself at the first step; None where there is nothing to compare with.
        change: what the step changes, in the study's words.
    """

    arm: str
    base: str | None = None
    start: str | None = None
    change: str = ""


@dataclass(frozen=True, kw_only=True)
class ChainStep:
    """What the evidence says of one link in one block.

    Attributes:
        adds: of `arm` relative to its base; None for a start.
        since_start: of `arm` relative to the chain's start; None for a start, and where the chain has none. At the
            first step the same as `adds`.
    """

    block: str
    link: Link
    adds: Verdict | None
    since_start: Verdict | None


def compare_steps(summary: Summary, links: Sequence[Link]) -> tuple[ChainStep, ...]:
    """Judge every link in every block, block by block in the order of the links; nothing without links.

    Pairs are compared as the study's own: by the same metric, split, margin and confidence, fold by fold or by a race's
    sequential p values where it has these.

    Args:
        summary: what the study's results say.
        links: the chain; its arms are arms of the study.

    Raises:
        ValueError: a link names an arm that the study does not have.
    """
    unknown = [name for name in _list_names(links) if name not in summary.arm_labels]
    if unknown:
        raise ValueError(f"a chain names '{unknown[0]}', which is no arm of the study")
    return tuple(step for block in summary.blocks for step in _judge_block(summary, block, links))


def _list_names(links: Sequence[Link]) -> list[str]:
    return [name for link in links for name in (link.arm, link.base, link.start) if name is not None]


def _judge_block(summary: Summary, block: str, links: Sequence[Link]) -> list[ChainStep]:
    wanted = [(link.arm, other) for link in links for other in (link.base, link.start) if other is not None]
    family = list(dict.fromkeys(wanted))
    arms = {arm.arm: arm for arm in summary.arms_of(block)}
    judging = Judging(
        measure=summary.measure,
        rules=summary,
        num_folds=summary.num_folds,
        looks=summary.looks,
        test_shares=summary.test_shares,
    )
    verdicts = judge_pairs([(arms[a], arms[b]) for a, b in family], judging)
    found = dict(zip(family, verdicts, strict=True))
    return [
        ChainStep(
            block=block,
            link=link,
            adds=None if link.base is None else found[link.arm, link.base],
            since_start=None if link.start is None else found[link.arm, link.start],
        )
        for link in links
    ]
