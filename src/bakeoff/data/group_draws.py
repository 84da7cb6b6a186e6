"""Draws of whole groups of images: for a share of every class, and for folds.

Images are met in the order of a permutation, and the first of a group brings all others with it. Where every image is
a group of its own these draws are those of single images.

Shape suffixes: N images, L classes, G groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bakeoff.data.source import show_text
from bakeoff.errors import DataError, GroupsError

Indices = npt.NDArray[np.int64]


def number_groups(names: Sequence[str]) -> Indices | None:
    """Number groups by their first appearance; an image without a name is one of its own.

    Returns:
        The number of every image's group, [N]; None if every image stands alone.
    """
    numbers: dict[str, int] = {}
    found = np.empty(len(names), dtype=np.int64)
    num_alone = 0
    for position, name in enumerate(names):
        if name:
            found[position] = numbers.setdefault(name, len(numbers) + num_alone)
        else:
            found[position] = len(numbers) + num_alone
            num_alone += 1
    return None if len(numbers) + num_alone == len(names) else found


def count_class_groups(
    labels_N: npt.NDArray[np.integer], groups_N: npt.NDArray[np.integer], num_classes: int
) -> Indices:
    """Return the number of groups of every class, [L]; a group counts for each of its classes."""
    pairs = np.unique(np.stack([np.asarray(labels_N, np.int64), np.asarray(groups_N, np.int64)]), axis=1)
    return np.bincount(pairs[0], minlength=num_classes).astype(np.int64)


@dataclass(frozen=True)
class _Groups:
    """The groups of images, numbered from 0, and how many images of each class they hold.

    Attributes:
        of_N: the group of every image.
        held: of every group, its classes and the images of each.
        num_L: the groups of every class.
    """

    of_N: Indices
    held: list[list[tuple[int, int]]]
    num_L: Indices

    @classmethod
    def find(cls, labels_N: Indices, groups_N: npt.NDArray[np.integer], num_classes: int) -> _Groups:
        """Number the groups and count their images; labels are 0..L-1."""
        _, of_N = np.unique(groups_N, return_inverse=True)
        pairs, counts = np.unique(np.stack([of_N, labels_N]), axis=1, return_counts=True)
        held: list[list[tuple[int, int]]] = [[] for _ in range(int(of_N.max(initial=-1)) + 1)]
        for group, label, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
            held[group].append((label, count))
        return cls(of_N.astype(np.int64), held, np.bincount(pairs[1], minlength=num_classes).astype(np.int64))

    @cached_property
    def class_order(self) -> list[int]:
        """Classes as they take turns: by their number; if groups cover several, those with the fewest groups first."""
        if any(len(classes) > 1 for classes in self.held):
            order: list[int] = np.argsort(self.num_L, kind="stable").tolist()
            return order
        return list(range(len(self.num_L)))

    def meet(self, walk: npt.NDArray[np.integer]) -> list[int]:
        """Return the groups of some images in the order in which they are met."""
        of_walk = self.of_N[walk]
        _, first = np.unique(of_walk, return_index=True)
        found: list[int] = of_walk[np.sort(first)].tolist()
        return found


def draw_groups(
    labels_N: Indices,
    groups_N: npt.NDArray[np.integer],
    walks: Sequence[npt.NDArray[np.integer]],
    wanted_L: Sequence[int],
    names: Sequence[object],
    *,
    keep_one: bool = True,
) -> npt.NDArray[np.bool_]:
    """Draw whole groups until every class has about as many images as wanted.

    A group is taken if that brings the counts of its classes nearer to what is wanted (by the sum of squares, if it has
    several), and skipped otherwise. Classes take turns, in proportion to their sizes: for groups of one class that
    changes nothing. Every class gets a group, and keeps one.

    Args:
        labels_N: 0..L-1.
        groups_N: the number of every image's group.
        walks: of every class, its images in the order in which they are met.
        wanted_L: how many images of every class.
        names: of the classes, for messages.
        keep_one: leave at least one group of every class undrawn.

    Returns:
        Whether each image is drawn.

    Raises:
        DataError: a class has too few groups for one on each side.
    """
    groups = _Groups.find(labels_N, groups_N, len(walks))
    draw = _Draw(groups, wanted_L, keep_one=keep_one)
    for group in groups.meet(_interleave(walks)):
        if max(draw.missing) <= 0:
            break
        if draw.change(group) < 0 and draw.may_take(group):
            draw.take(group)
    for label in groups.class_order:
        if not draw.num_taken[label]:
            allowed = [group for group in groups.meet(walks[label]) if draw.may_take(group)]
            if not allowed:
                raise refuse_groups(names[label], int(groups.num_L[label]), "not enough for one on each side")
            draw.take(min(allowed, key=draw.change))
    is_drawn_G = np.zeros(len(groups.held), dtype=np.bool_)
    is_drawn_G[list(draw.taken)] = True
    return is_drawn_G[groups.of_N]


class _Draw:
    """The groups taken so far, and what is missing of every class."""

    def __init__(self, groups: _Groups, wanted_L: Sequence[int], *, keep_one: bool) -> None:
        self._groups, self._keep_one = groups, keep_one
        self.missing, self.num_taken, self.taken = list(wanted_L), [0] * len(wanted_L), set[int]()

    def change(self, group: int) -> int:
        """Return by what the squares of what is missing would change."""
        return sum(count * (count - 2 * self.missing[label]) for label, count in self._groups.held[group])

    def may_take(self, group: int) -> bool:
        """Return whether a group is there to be taken, and not the last of a class that must keep one."""
        if group in self.taken:
            return False
        held = self._groups.held[group]
        return not self._keep_one or all(self._groups.num_L[label] - self.num_taken[label] > 1 for label, _ in held)

    def take(self, group: int) -> None:
        """Take a group."""
        self.taken.add(group)
        for label, count in self._groups.held[group]:
            self.missing[label] -= count
            self.num_taken[label] += 1


def _interleave(walks: Sequence[npt.NDArray[np.integer]]) -> npt.NDArray[np.integer]:
    """Return the images of all classes so that each class advances in proportion to its size."""
    progress = np.concatenate([np.arange(len(walk)) / max(1, len(walk)) for walk in walks])
    return np.concatenate(list(walks))[np.argsort(progress, kind="stable")]


def deal_groups(
    labels_N: Indices,
    groups_N: npt.NDArray[np.integer],
    walks: Sequence[npt.NDArray[np.integer]],
    num_folds: int,
    names: Sequence[object],
) -> Indices:
    """Deal whole groups to folds: each goes to the fold with the fewest images of its class.

    Ties go to the fold with the fewest images of all classes, then to the first. A group of several classes goes where
    the shares of them that a fold already has, weighted by its own images, are smallest. Every fold gets a group of
    every class, and with two folds a second one, which can be split once more.

    Args:
        labels_N: 0..L-1.
        groups_N: the number of every image's group.
        walks: of every class, its images in the order in which they are met.
        num_folds: 2 or more.
        names: of the classes, for messages.

    Returns:
        The fold of every image.

    Raises:
        DataError: a fold gets no group of a class.
    """
    groups = _Groups.find(labels_N, groups_N, len(walks))
    size_L = [len(walk) for walk in walks]
    least = 2 if num_folds == 2 else 1
    images_LF = [[0] * num_folds for _ in walks]
    groups_LF = [[0] * num_folds for _ in walks]
    total_F = [0] * num_folds
    fold_G = [-1] * len(groups.held)
    for label in groups.class_order:
        for group in groups.meet(walks[label]):
            if fold_G[group] >= 0:
                continue
            held = groups.held[group]

            def judge(fold: int, held: list[tuple[int, int]] = held, label: int = label) -> tuple[float, ...]:
                if len(held) == 1:
                    crowd: float = images_LF[label][fold]
                else:
                    crowd = round(sum(count * images_LF[each][fold] / size_L[each] for each, count in held), 9)
                return min(groups_LF[label][fold], least), crowd, total_F[fold]

            fold = min(range(num_folds), key=judge)
            fold_G[group] = fold
            for each, count in held:
                images_LF[each][fold] += count
                groups_LF[each][fold] += 1
                total_F[fold] += count
    for label, numbers in enumerate(groups_LF):
        if min(numbers) < 1:
            raise refuse_groups(names[label], int(groups.num_L[label]), f"not enough for each of {num_folds} folds")
    return np.asarray(fold_G, dtype=np.int64)[groups.of_N]


def refuse_groups(name: object, num_groups: int, needed: str) -> DataError:
    """Return the error of a class that has too few groups."""
    groups = f"{num_groups:,} group{'' if num_groups == 1 else 's'}"
    return GroupsError(
        f"class '{show_text(name)}' has {groups} of images, which no split separates: {needed}. Take other or more "
        f"images, or leave the class out with classes."
    )
