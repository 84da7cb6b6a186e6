"""Ablation chains: arms that build on other arms (`from: NAME`), and what each step changes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bakeoff.stats.ensembles import find_vote
from bakeoff.stats.measure import join_names
from bakeoff.stats.steps import Link
from bakeoff.study.axes import TEMPLATE, Fault, is_field_axis, list_cases, make_label
from bakeoff.study.ensembles import Ensemble

Axis = Mapping[str, Any]


@dataclass(frozen=True)
class _Case:
    """One entry of an axis.

    Attributes:
        label: its label.
        base: the entry it builds on; empty if none.
        start: the first entry of its chain; empty if none.
        change: label of what it changes in `base`.
    """

    label: str
    base: str = ""
    start: str = ""
    change: str = ""


def list_steps(axes: Sequence[Axis], ensembles: Mapping[str, Ensemble], wanted: bool | None) -> tuple[Link, ...]:
    """Return the steps that get verdicts; empty if no arm builds on another.

    Every arm that builds on no other is included as a start. A vote over named arms is a step from each of them.

    Args:
        axes: the study's `arms`.
        ensembles: the study's `ensembles`.
        wanted: the study's `decide.steps`; False: return no steps.
    """
    links = () if wanted is False else find_chain(axes)
    return (*links, *_list_votes(ensembles)) if links else ()


def find_chain(axes: Sequence[Axis]) -> tuple[Link, ...]:
    """Return the steps between the arms that `axes` make, in the order of the arms; empty if no case has a `from`.

    An arm builds on the nearest case that is an arm itself: templates (`_name`) between the two belong to the step.
    If several axes have chains, an arm has a step along each, from the arm that differs from it in that axis only.

    Args:
        axes: the study's `arms`, plain and valid.
    """
    cases = [list(_read_axis(axis)) for axis in axes]
    if not any(case.base for axis in cases for case in axis):
        return ()
    return tuple(link for choice in itertools.product(*cases) for link in _link_arm(choice))


def check_steps(decide: object, axes: Sequence[Axis]) -> list[Fault]:
    """Return the error of asking for steps if no arm builds on another.

    Args:
        decide: the study's `decide`, as given.
        axes: the study's `arms`, plain and valid.
    """
    wanted = decide.get("steps") if isinstance(decide, Mapping) else getattr(decide, "steps", None)
    if wanted is not True or find_chain(axes):
        return []
    return [
        Fault(
            ("decide", "steps"),
            "no arm builds on another: write 'from: NAME' in a case of arms, or leave out decide.steps",
        )
    ]


def check_no_steps(decide: object) -> list[Fault]:
    """Return the fault of asking for steps in a fraction of all arms, which lacks most of the arms they lead from."""
    wanted = decide.get("steps") if isinstance(decide, Mapping) else getattr(decide, "steps", None)
    if wanted is not True:
        return []
    return [Fault(("decide", "steps"), "steps need all arms: write design: full, or leave steps out")]


def _read_axis(axis: Axis) -> Iterator[_Case]:
    if is_field_axis(axis):
        yield from (_Case(make_label(value)) for value in next(iter(axis.values())))
        return
    for name in list_cases(axis):
        chain = [name]  # from the case back to the first one, templates included
        while "from" in (axis[chain[-1]] or {}):
            chain.append(axis[chain[-1]]["from"])
        arms = [position for position, link in enumerate(chain) if not link.startswith(TEMPLATE)]
        if len(arms) < 2:
            yield _Case(name)
            continue
        changes: dict[str, Any] = {}
        for link in reversed(chain[: arms[1]]):
            changes |= {key: value for key, value in (axis[link] or {}).items() if key != "from"}
        yield _Case(name, base=chain[arms[1]], start=chain[arms[-1]], change=make_label(changes))


def _link_arm(choice: Sequence[_Case]) -> Iterator[Link]:
    labels = [case.label for case in choice]
    for position, case in enumerate(choice):
        if case.base:
            base, start = (
                " / ".join([*labels[:position], other, *labels[position + 1 :]]) for other in (case.base, case.start)
            )
            yield Link(arm=" / ".join(labels), base=base, start=start, change=case.change)
    if not any(case.base for case in choice):
        yield Link(arm=" / ".join(labels))


def _list_votes(ensembles: Mapping[str, Ensemble]) -> Iterator[Link]:
    for label, ensemble in ensembles.items():
        if ensemble.is_arm and ensemble.of != "all":
            change = f"{find_vote(ensemble.by).label} of {join_names(list(ensemble.of))}"
            yield from (Link(arm=label, base=member, start=None, change=change) for member in ensemble.of)
