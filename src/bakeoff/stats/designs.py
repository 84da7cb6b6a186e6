"""Two-level fractions of a factorial design: which combinations to run, and what their effects are mixed with.

Levels are 0 and 1, and every design holds the run with all levels 0. A regular fraction 2^(k-p) crosses k - p basic
factors and sets each other factor to the sum modulo 2 of some of these, its generator. Its resolution is the length of
its shortest defining word: at III no main effect is mixed with another one, at IV none with a two-factor interaction,
at V no two-factor interaction with another (Box and Hunter 1961, "The 2^(k-p) fractional factorial designs",
Technometrics 3). Plackett-Burman designs have 12, 20 or 24 runs, a multiple of four that is no power of two; there
every main effect is mixed in part with two-factor interactions of the others (Plackett and Burman 1946, "The
design of optimum multifactorial experiments", Biometrika 33).

A factor's column is written as a number: bit i says that basic factor i is part of it. Shape suffixes: N runs,
K factors.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import xor

import numpy as np
from numpy.typing import NDArray

PLACKETT_BURMAN = {
    12: "++-+++---+-",
    20: "++--++++-+-+----++-",
    24: "+++++-+-++--++--+-+----",
}
"""Runs -> the first row, which is shifted cyclically; the last row is all minus (Plackett and Burman 1946)."""

MAX_RUNS = 256
MAX_FACTORS = 63

_MAX_NODES = 20_000
"""Columns tried for one resolution before a lower one is taken."""


@dataclass(frozen=True, kw_only=True)
class Fraction:
    """Some of all 2^K combinations.

    Attributes:
        levels_NK: 0 or 1, run by run; every column is balanced and orthogonal to the others.
        others_NJ: the orthogonal columns that belong to no factor, J = N - 1 - K; none where all columns are used.
        resolution: of a regular fraction, 3 or more; None for a Plackett-Burman design and where all combinations run.
        columns: of a regular fraction, each factor's column as a number; empty for a Plackett-Burman design.
    """

    levels_NK: NDArray[np.int8]
    others_NJ: NDArray[np.int8]
    resolution: int | None
    columns: tuple[int, ...] = ()

    @property
    def num_runs(self) -> int:
        """Combinations that are run."""
        return len(self.levels_NK)

    @property
    def is_full(self) -> bool:
        """Whether all combinations are run."""
        return self.num_runs == 1 << int(self.levels_NK.shape[1])

    @property
    def title(self) -> str:
        """Such as "2^(5-2) fraction of resolution III" or "Plackett-Burman design, 12 runs"."""
        num_factors = self.levels_NK.shape[1]
        if self.is_full:
            return f"all combinations, {self.num_runs} runs"
        if not self.columns:
            return f"Plackett-Burman design, {self.num_runs} runs"
        dropped = num_factors - (self.num_runs.bit_length() - 1)
        return f"2^({num_factors}-{dropped}) fraction of resolution {format_roman(self.resolution or 0)}"

    def find_aliases(self, order: int = 2) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """Return for every factor the interactions of up to `order` others that a regular fraction mixes it with.

        Empty for every factor of a Plackett-Burman design, where many are mixed in part.
        """
        return tuple(tuple(self._find_aliases_of(place, order)) for place in range(self.levels_NK.shape[1]))

    def _find_aliases_of(self, place: int, order: int) -> Iterator[tuple[int, ...]]:
        others = [other for other in range(len(self.columns)) if other != place]
        for size in range(2, order + 1):
            for group in itertools.combinations(others, size):
                if reduce(xor, (self.columns[other] for other in group)) == self.columns[place]:
                    yield group


def format_roman(number: int) -> str:
    """Return a number from 1 to 39 in Roman numerals, as resolutions are written."""
    tens, ones = divmod(number, 10)
    return "X" * tens + ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")[ones]


def list_screening_sizes() -> list[int]:
    """Return the sizes that screening designs have, ascending: powers of two, and 12, 20 and 24."""
    powers = [1 << power for power in range(2, MAX_RUNS.bit_length())]
    return sorted({*powers, *PLACKETT_BURMAN})


def make_screening(num_factors: int, num_runs: int | None = None) -> Fraction:
    """Return the smallest design with a column for every factor, or one of a given size.

    Args:
        num_factors: 2 to 63.
        num_runs: 12, 20, 24 or a power of two, more than the factors; None for the smallest.

    Raises:
        ValueError: no such design.
    """
    sizes = [size for size in list_screening_sizes() if size > num_factors]
    if num_runs is not None and num_runs not in sizes:
        allowed = ", ".join(map(str, sizes))
        raise ValueError(f"{num_factors} factors cannot be screened in {num_runs} runs, allowed: {allowed}")
    size = sizes[0] if num_runs is None else num_runs
    if size in PLACKETT_BURMAN:
        return _make_plackett_burman(num_factors, size)
    return make_fraction(num_factors, num_runs=min(size, 1 << num_factors))


def _make_plackett_burman(num_factors: int, num_runs: int) -> Fraction:
    first = [int(sign == "+") for sign in PLACKETT_BURMAN[num_runs]]
    rows = [np.roll(first, shift) for shift in range(num_runs - 1)]
    levels = np.array([*rows, np.zeros(num_runs - 1, dtype=int)], dtype=np.int8)
    return Fraction(levels_NK=levels[:, :num_factors], others_NJ=levels[:, num_factors:], resolution=None)


def make_fraction(num_factors: int, *, resolution: int = 3, num_runs: int | None = None) -> Fraction:
    """Return the smallest regular fraction of at least a resolution, or the one of the highest for a number of runs.

    Args:
        num_factors: 2 to 63.
        resolution: at least, 3 or more; all combinations are of any.
        num_runs: a power of two, more than the factors, at most 2^factors; None for the smallest.

    Raises:
        ValueError: no such fraction.
    """
    powers = [p for p in range(2, num_factors + 1) if (1 << p) > num_factors and (1 << p) <= MAX_RUNS]
    if num_runs is not None:
        powers = [power for power in powers if 1 << power == num_runs]
    for power in powers:
        found = _choose_columns(num_factors, power, resolution)
        if found is not None:
            return _make_regular(found, power)
    size = f"in {num_runs} runs" if num_runs is not None else f"in up to {MAX_RUNS} runs"
    raise ValueError(f"no fraction of {num_factors} factors {size} has resolution {format_roman(resolution)} or more")


def _choose_columns(num_factors: int, power: int, least: int) -> tuple[int, ...] | None:
    """Return columns of the highest resolution found, `least` or more; the basic factors come first."""
    basic = [1 << place for place in range(power)]
    if num_factors == power:
        return tuple(basic)
    for resolution in range(power + 1, least - 1, -1):
        found = _search_columns(basic, num_factors - power, resolution, power)
        if found is not None:
            return tuple(found)
    return None


def _search_columns(basic: Sequence[int], missing: int, resolution: int, power: int) -> list[int] | None:
    """Return the basic columns and as many more of which no `resolution` - 1 or fewer sum to zero; None if not found.

    Depth first, columns of many basic factors first; gives up after a number of tries.
    """
    words = [word for word in range(1, 1 << power) if word.bit_count() >= resolution - 1]
    words.sort(key=lambda word: (-word.bit_count(), word))
    tries = itertools.count()

    def extend(chosen: list[int], sums: list[set[int]], start: int, left: int) -> list[int] | None:
        if left == 0:
            return chosen
        for place in range(start, len(words) - left + 1):
            word = words[place]
            if any(word in of_size for of_size in sums):
                continue
            if next(tries) > _MAX_NODES:
                return None
            found = extend([*chosen, word], _add_word(sums, word), place + 1, left - 1)
            if found is not None:
                return found
        return None

    # sums[i]: sums of i + 1 columns; a new column may not be one of up to resolution - 2 of them.
    sums: list[set[int]] = [set() for _ in range(resolution - 2)]
    for word in basic:
        sums = _add_word(sums, word)
    return extend(list(basic), sums, 0, missing)


def _add_word(sums: Sequence[set[int]], word: int) -> list[set[int]]:
    grown = [set(of_size) for of_size in sums]
    for size in range(len(sums)):
        grown[size] |= {word} if size == 0 else {other ^ word for other in sums[size - 1]}
    return grown


def _make_regular(columns: Sequence[int], power: int) -> Fraction:
    free = [word for word in range(1, 1 << power) if word not in columns]
    return Fraction(
        levels_NK=_evaluate(columns, power),
        others_NJ=_evaluate(free, power),
        resolution=None if len(columns) == power else measure_resolution(columns),
        columns=tuple(columns),
    )


def _evaluate(columns: Sequence[int], power: int) -> NDArray[np.int8]:
    """Return the levels of columns in all runs of the basic factors, the last of which varies fastest."""
    runs = [sum(bit << place for place, bit in enumerate(bits)) for bits in itertools.product((0, 1), repeat=power)]
    return np.array([[(run & word).bit_count() % 2 for word in columns] for run in runs], dtype=np.int8).reshape(
        len(runs), len(columns)
    )


def measure_resolution(columns: Sequence[int]) -> int:
    """Return the length of the shortest word: the fewest columns that sum to zero modulo 2.

    Args:
        columns: of a fraction, more of them than basic factors.
    """
    sizes = range(3, len(columns) + 1)
    found = (size for size in sizes for group in itertools.combinations(columns, size) if reduce(xor, group) == 0)
    return next(found, len(columns) + 1)
