"""Looking again: how often the same question has been put to the same test images, and what each answer may cost.

Whoever looks at the result of five replicates, adds five and looks again has two chances to be wrong. So the error rate
of a question is spent look by look, by Bonferroni: FIRST_SHARE of it at the first look, and what is left in halves at
those that follow. This holds for any kind of test, whatever a look may have changed: more replicates, fewer arms, other
arms, another name. The family is all arms that were ever looked at together, for those that were dropped could have
been the ones that were kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

FIRST_SHARE = 0.9
"""Of the error rate, what the first look may spend: most studies are never looked at again."""

_ORDINALS = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth"}


@dataclass(frozen=True, kw_only=True)
class LookedBlock:
    """What one look saw of one block.

    Attributes:
        block: its label in that study.
        fingerprint: of the test images.
        trials: the trials seen, by recipe; seeds are no part of a recipe.
        replicates: numbers of the replicates seen, from 0.
    """

    block: str
    fingerprint: str
    trials: Mapping[str, frozenset[str]]
    replicates: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at test results, of one study.

    Attributes:
        study_id, study: its id and name.
        looked_at: ISO time.
        metric: that decided.
        against_baseline: whether arms were compared with one of them only.
        blocks: what was seen.
    """

    study_id: str
    study: str
    looked_at: str
    metric: str
    blocks: tuple[LookedBlock, ...]
    against_baseline: bool = False

    @property
    def trials(self) -> frozenset[str]:
        """All trials seen."""
        return frozenset().union(*(seen for block in self.blocks for seen in block.trials.values()))


@dataclass(frozen=True, kw_only=True)
class LineLook:
    """One of the looks at the question that a study asks, in their order; the last is the study's own.

    Attributes:
        number: from 1.
        study_id, study, looked_at: whose it was and when.
        replicates: that it saw of every arm, at most.
        trials: seen; `runs`: numbers of the replicates seen.
        num_pairs: by block of the study, pairs of arms that had been looked at there by then.
    """

    number: int
    study_id: str
    study: str
    looked_at: str
    trials: frozenset[str]
    replicates: frozenset[int]
    num_pairs: Mapping[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """What it may spend of the error rate."""
        return share_of_look(self.number)


def share_of_look(number: int) -> float:
    """Return the share of the error rate that a look may spend, counted from 1; over all looks they come to 1."""
    return FIRST_SHARE if number == 1 else (1 - FIRST_SHARE) * 2.0 ** (1 - number)


def trace_line(past: Sequence[Look], own: Look) -> tuple[LineLook, ...]:
    """Return the looks at the question a study asks, up to the one at which its own results were first seen.

    A look belongs to the line of another if both tested one of the same trials, or two of the same arms on the same
    test images, whatever the studies are called; and so do the looks of its line. A look at which every arm's trials
    are those of an earlier look by the same metric shows nothing new, and is none.

    Args:
        past: all looks on record, oldest first.
        own: what the study sees now.
    """
    seen = next((place for place, look in enumerate(past) if _covers(look, own)), None)
    known = past if seen is None else past[: seen + 1]
    line, rest, grown = [own], list(known), True
    while grown:
        joined = [look for look in rest if any(_are_related(look, each) for each in line)]
        rest = [look for look in rest if look not in joined]
        line, grown = line + joined, bool(joined)
    ordered = [look for look in known if look in line]
    if seen is None:
        ordered.append(own)
    return tuple(_list_looks(ordered, own))


def _list_looks(ordered: Sequence[Look], own: Look) -> Iterable[LineLook]:
    kept: list[Look] = []
    for place, look in enumerate(ordered):
        if any(_covers(earlier, look) for earlier in kept):
            continue
        kept.append(look)
        # Another metric's p values say nothing of this one: such a look has spent its share, and that is all.
        is_ours = look.metric == own.metric
        yield LineLook(
            number=len(kept),
            study_id=look.study_id,
            study=look.study,
            looked_at=look.looked_at,
            trials=look.trials if is_ours else frozenset(),
            replicates=frozenset().union(*(block.replicates for block in look.blocks)) if is_ours else frozenset(),
            num_pairs=_count_pairs(ordered[: place + 1], own),
        )


def _covers(earlier: Look, later: Look) -> bool:
    """Tell whether all that a look shows had been shown by an earlier one."""
    if earlier.metric != later.metric:
        return False
    shown = {(b.fingerprint, recipe): seen for b in earlier.blocks for recipe, seen in b.trials.items()}
    wanted = {(b.fingerprint, recipe): seen for b in later.blocks for recipe, seen in b.trials.items()}
    return all(shown.get(arm) == seen for arm, seen in wanted.items())


def _are_related(a: Look, b: Look) -> bool:
    if a.trials & b.trials:
        return True
    return any(
        one.fingerprint == other.fingerprint and len(one.trials.keys() & other.trials.keys()) >= 2
        for one in a.blocks
        for other in b.blocks
    )


def _count_pairs(looks: Sequence[Look], own: Look) -> dict[str, int]:
    """Return by block of the study the pairs of all arms that were ever looked at beside its own."""
    against_baseline = all(look.against_baseline for look in (*looks, own))
    counts = {}
    for block in own.blocks:
        arms = set(block.trials)
        seen: set[str] = set()
        groups = [set(b.trials) for look in looks for b in look.blocks if b.fingerprint == block.fingerprint]
        while joined := [group for group in groups if group & (arms | seen)]:
            groups = [group for group in groups if group not in joined]
            seen = seen.union(*joined)
        counts[block.block] = max(0, len(seen) - 1 if against_baseline else len(seen) * (len(seen) - 1) // 2)
    return counts


def describe_looks(line: Sequence[LineLook]) -> str:
    """Say that a question has been asked before, and what that costs; empty at the first look."""
    if len(line) < 2:
        return ""
    first, last = line[0], line[-1]
    number = _ORDINALS.get(last.number, f"{last.number}th")
    where = f", in the study {first.study}" if first.study != last.study else ""
    return (
        f"This is the {number} look at this question on these test images (the first was on {first.looked_at[:10]}"
        f"{where}): it may spend {100 * last.share:.3g}% of the error rate, and its p values allow for that."
    )
