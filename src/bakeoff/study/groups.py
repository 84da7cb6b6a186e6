"""Groups of arms that a study compares as wholes: `groups: {pretrained: [arm, arm], scratch: [arm, arm]}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from bakeoff.errors import UNKNOWN_NAME, nearest
from bakeoff.study.axes import Fault
from bakeoff.study.explain import shorten

Groups: TypeAlias = dict[str, tuple[str, ...]]
"""Group -> labels of its arms."""


def check_groups(given: object, arms: Sequence[str]) -> list[Fault]:
    """Return what is wrong with a study's groups, beyond their types.

    Args:
        given: as the study was given them.
        arms: labels of all arms, ensembles that count as arms included.
    """
    if not isinstance(given, Mapping) or not given:
        return []
    if len(given) == 1:
        return [Fault(("groups",), "one group has nothing to be compared with: name a second one")]
    faults: list[Fault] = []
    seen: dict[str, str] = {}
    for name, members in given.items():
        for arm in members if isinstance(members, list | tuple) else ():
            place = ("groups", str(name))
            if arm not in arms:
                shown = ", ".join(arms[:20]) + (", ..." if len(arms) > 20 else "")
                message = f"no arm {shorten(arm)}, allowed: {shown}.{nearest(str(arm), list(arms))}"
                faults.append(Fault(place, message, UNKNOWN_NAME))
            elif arm in seen:
                faults.append(Fault(place, f"{arm!r} is in {seen[arm]!r} already: name it once"))
            seen.setdefault(arm, str(name))
        if isinstance(members, list | tuple) and not members:
            faults.append(Fault(("groups", str(name)), "an empty group: name at least one arm"))
    return faults
