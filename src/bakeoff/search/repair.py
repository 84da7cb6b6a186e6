"""Repair: the smallest change that makes a genome fit its images. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bakeoff.catalog.networks.shapes import Shape
from bakeoff.search.genome import Genome, find_misfit
from bakeoff.study.genome_settings import GenomeSettings

REPAIRED = "repaired"
"""Prefix of a repair's notes."""


@dataclass(frozen=True)
class _Fix:
    """One change that shrinks the image less for the following layers."""

    genome: Genome
    note: str
    is_stride: bool = False


def repair(genome: Genome, settings: GenomeSettings, image_shape_HWC: Shape) -> tuple[Genome, tuple[str, ...]] | None:
    """Change a genome until it fits the images, staying in range.

    The first convolution that does not fit, or whose pooling does not, is changed: by a smaller kernel, `same` padding,
    a smaller stride of it or of an earlier one, or finally by removing it. A single sufficient change is preferred; if
    there is none, a stride is reduced, the earliest first, because it shrinks the image most.

    Args:
        genome: any genome of the space.
        settings: the space.
        image_shape_HWC: height, width, channels of the images.

    Returns:
        The genome and a phrase for every change (none if it already fits); None if nothing in range fits.
    """
    notes: list[str] = []
    # Every fix reduces a kernel, a stride, the number of valid paddings or of layers, so this terminates.
    while (misfit := find_misfit(genome, settings, image_shape_HWC)) is not None:
        fixes = list(_list_fixes(genome, misfit, settings))
        if not fixes:
            return None
        strides = [fix for fix in fixes if fix.is_stride]
        enough = [fix for fix in fixes if _reaches(fix.genome, misfit, settings, image_shape_HWC)]
        fix = (enough or strides or fixes)[0]
        genome = fix.genome
        notes.append(f"{REPAIRED}: {fix.note}")
    return genome, tuple(notes)


def _reaches(genome: Genome, number: int, settings: GenomeSettings, image_shape_HWC: Shape) -> bool:
    """Return whether every convolution up to this one fits."""
    misfit = find_misfit(genome, settings, image_shape_HWC)
    return misfit is None or misfit > number


def _list_fixes(genome: Genome, number: int, settings: GenomeSettings) -> Iterator[_Fix]:
    """Yield the changes that may help convolution `number`, counted from 0, smallest first."""
    gene = genome.convolutions[number]
    if gene.padding == "valid":
        smaller = [kernel for kernel in settings.kernel.values if kernel < gene.kernel]
        yield from (_fix(genome, number, "kernel", kernel) for kernel in reversed(smaller))
        if "same" in settings.padding:
            yield _fix(genome, number, "padding", "same")
    yield from _list_stride_fixes(genome, number, settings)
    yield from _list_earlier_fixes(genome, number, settings)
    if len(genome.convolutions) > settings.convolutions.low:
        rest = genome.convolutions[:number] + genome.convolutions[number + 1 :]
        yield _Fix(dataclasses.replace(genome, convolutions=rest), f"conv {number + 1} left out")


def _list_stride_fixes(genome: Genome, number: int, settings: GenomeSettings) -> Iterator[_Fix]:
    for at, gene in enumerate(genome.convolutions[: number + 1]):
        if gene.stride > settings.stride.low:
            yield _fix(genome, at, "stride", settings.stride.low)


def _list_earlier_fixes(genome: Genome, number: int, settings: GenomeSettings) -> Iterator[_Fix]:
    for at, gene in enumerate(genome.convolutions[:number]):
        if gene.padding == "valid" and "same" in settings.padding:
            yield _fix(genome, at, "padding", "same")
        elif gene.padding == "valid" and gene.kernel > settings.kernel.low:
            yield _fix(genome, at, "kernel", settings.kernel.low)


def _fix(genome: Genome, number: int, name: str, value: Any) -> _Fix:
    genes = list(genome.convolutions)
    before = getattr(genes[number], name)
    genes[number] = dataclasses.replace(genes[number], **{name: value})
    changed = dataclasses.replace(genome, convolutions=tuple(genes))
    return _Fix(changed, f"{name} of conv {number + 1}: {before} -> {value}", is_stride=name == "stride")
