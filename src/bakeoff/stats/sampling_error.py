"""What a difference's uncertainty is made of, and what would lower it: one interval, one split, one piece of advice."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bakeoff.stats.looks import share_of_look
from bakeoff.stats.measure import Measure, percent, whole_percent
from bakeoff.stats.needed import LIKELY, MOST_NEEDED
from bakeoff.stats.power import POWER
from bakeoff.stats.results import Summary, Verdict
from bakeoff.stats.variance import FEW_GROUPS, FEW_IMAGES, Scope, Spread

_MOST_TIMES = 100
"""More test images than this many times those there are, are not advised."""

_BARELY_MORE = 1.1
"""Up to this many times the test images there are, which rounding alone may ask for, is no number to name."""


@dataclass(frozen=True, kw_only=True)
class SamplingError:
    """Where the uncertainty of a pair's difference comes from.

    Attributes:
        difference, interval: the verdict's own.
        standard_error: of the difference, over what the verdict speaks of.
        seeds, images, rest: parts of its variance, 0 or more. More replicates lower the first and the last, more images
            the last two.
        image_share: of the images in the three together, 0..1; None without any variance. `image_share_interval`: of
            it, at the verdict's confidence, for the seeds' part rests on few replicates; None where only one of the two
            varies.
        num_telling: images, or groups of images, on which the arms differ on average.
        images_needed: test images with which these replicates would settle the pair, at least and at most (None beyond
            100 times those there are); None where it is settled, and where more images would not change what is spoken
            of.
        sentence: all this in plain words.
    """

    difference: float
    interval: tuple[float, float] | None
    standard_error: float
    seeds: float
    images: float
    rest: float
    image_share: float | None
    image_share_interval: tuple[float, float] | None
    num_images: int
    num_telling: int
    images_needed: tuple[int | None, int | None] | None
    sentence: str


def describe_error(verdict: Verdict, measure: Measure, summary: Summary) -> SamplingError | None:
    """Say what the uncertainty of one pair's difference is made of and what would lower it.

    Returns:
        None where the images' contributions are not known.
    """
    spread = verdict.spread
    if spread is None or verdict.difference is None:
        return None
    seeds, images, rest = spread.parts
    images = images if verdict.scope == "images" else 0.0
    total = seeds + images + rest
    needed = None
    if verdict.scope == "images" and verdict.needed is not None:
        needed = _count_images(verdict, spread, _level_of_next_look(verdict, summary))
    share = images / total if total else None
    is_mixed = verdict.scope == "images" and all(square or spread.rest for square in (spread.by_seed, spread.by_image))
    likely = _bound_share(spread, summary.confidence) if share is not None and is_mixed else None
    sentences = [
        _say_interval(verdict, measure, summary.confidence),
        _say_shares(seeds / total, images / total, likely, verdict.scope, summary.confidence) if total else "",
        _advise(verdict, spread, needed),
        _caution(spread),
    ]
    return SamplingError(
        difference=verdict.difference,
        interval=verdict.interval,
        standard_error=math.sqrt(total),
        seeds=seeds,
        images=images,
        rest=rest,
        image_share=share,
        image_share_interval=likely,
        num_images=spread.num_scored,
        num_telling=spread.num_telling,
        images_needed=needed,
        sentence=" ".join(filter(None, sentences)),
    )


def _say_interval(verdict: Verdict, measure: Measure, confidence: float) -> str:
    is_grouped = verdict.spread is not None and verdict.spread.num_grouped is not None
    images = "groups of images" if is_grouped else "images"
    of = f"new seeds and new {images} of this kind" if verdict.scope == "images" else "new seeds on these test images"
    interval = (
        "" if verdict.interval is None else f"{percent(confidence)} interval {measure.interval(verdict.interval)}, "
    )
    return (
        f"The difference is {measure.signed(verdict.difference or 0.0)}{measure.unit_of_difference} "
        f"({interval}for {of})."
    )


def _say_shares(
    seeds: float, images: float, likely: tuple[float, float] | None, scope: Scope, confidence: float
) -> str:
    if scope != "images":
        return "All of its variance comes from the seeds: the test images are taken as given."
    if likely is None:
        source, other = ("test images", "seeds") if images else ("seeds", "test images")
        return f"All of its variance that was seen comes from the {source}: the {other} changed nothing."
    low, high = map(whole_percent, likely)
    return (
        f"Of its variance, {whole_percent(images)}% comes from the test images ({low}% to {high}% at "
        f"{percent(confidence)} confidence), {whole_percent(seeds)}% from the seeds, and the rest from single "
        "images in single runs, which more seeds and more images both reduce."
    )


def _advise(verdict: Verdict, spread: Spread, images: tuple[int | None, int | None] | None) -> str:
    """Say what would settle an open pair, or what would lower the standard error of a settled one."""
    needed = verdict.needed
    if needed is None:
        narrower = (
            f"Four times the replicates would lower its standard error by {100 * _narrow(spread, verdict, 4, 1):.0f}%"
        )
        if verdict.scope == "images":
            narrower += f", four times the test images by {100 * _narrow(spread, verdict, 1, 4):.0f}%"
        return f"{narrower}."
    if needed.least is None:
        hopeless, more = True, f"No number of replicates up to {MOST_NEEDED} is likely to settle it"
        more += " on these images" if verdict.scope == "images" else ""
    else:
        plural = "" if needed.least == 1 and needed.most in (1, None) else "s"
        hopeless, more = False, f"Settling it takes {needed.text} more replicate{plural}"
        more += f", perhaps over {MOST_NEEDED}" if needed.most is None else ""
    if images is None:
        return f"{more}."
    least, most = images
    if least is None:
        return f"{more}; with these replicates, {_MOST_TIMES} times as many test images would not suffice."
    counted = f"at least {least:,}" if most is None else f"{least:,} to {most:,}"
    if least <= _BARELY_MORE * spread.num_scored:
        counted = "more" if most is None else f"up to {most:,}"
    if hopeless:
        return f"{more}; with these replicates, {counted} test images would."
    return f"{more} or, with these replicates, {counted} test images{_say_groups(spread)} now)."


def _say_groups(spread: Spread) -> str:
    if spread.num_grouped is None:
        return f" ({spread.num_scored:,}"
    return f" in new groups ({spread.num_scored:,} in {spread.num_images:,} groups"


def _narrow(spread: Spread, verdict: Verdict, replicates: int, images: int) -> float:
    """Return by which part the standard error falls with so many times the replicates and images."""
    seeds, image, rest = spread.parts
    image = image if verdict.scope == "images" else 0.0
    before = seeds + image + rest
    after = seeds / replicates + image / images + rest / (replicates * images)
    return 1 - math.sqrt(after / before) if before else 0.0


def _caution(spread: Spread) -> str:
    if spread.num_grouped is not None and spread.num_images < FEW_GROUPS:
        return f"The test images come in only {spread.num_images} groups, so what is said of new ones is rough."
    if spread.num_telling >= FEW_IMAGES:
        return ""
    unit = "image" if spread.num_grouped is None else "group"
    if not spread.num_telling:
        return f"No {unit} tells the arms apart: {spread.num_images:,} {unit}s bound the difference, and no more."
    number = f"1 {unit}" if spread.num_telling == 1 else f"{spread.num_telling} {unit}s"
    return f"The arms differ on only {number} of {spread.num_images:,}, so the interval may be too wide."


def _bound_share(spread: Spread, confidence: float) -> tuple[float, float]:
    """Return the interval of the images' share: the mean squares of seeds and of images by their chi-squared.

    A mean square below that of the rest is chance, for its expectation is not: it counts as the rest's. Else few images
    that happen to agree would leave nothing for the images, for sure.
    """
    from scipy.special import chdtri

    tail = (1 - confidence) / 2

    def bound(square: float, degrees: float) -> tuple[float, float]:
        low, high = (max(square, spread.rest) * degrees / float(chdtri(degrees, chance)) for chance in (tail, 1 - tail))
        return max(0.0, low - spread.rest), max(0.0, high - spread.rest)

    few_seeds, many_seeds = bound(spread.by_seed, spread.num_replicates - 1)
    few_images, many_images = bound(spread.by_image, spread.num_images - 1)
    found = []
    for seeds, images in ((many_seeds, few_images), (few_seeds, many_images)):
        total = images + seeds + spread.rest
        found.append(images / total if total else 0.0)
    return found[0], found[1]


def _level_of_next_look(verdict: Verdict, summary: Summary) -> float:
    """Return the error rate that one pair may spend once more images are scored: that is the next look."""
    pairs = summary.verdicts if summary.family == "study" else summary.verdicts_of(verdict.block)
    share, looked_at = 1.0, 0
    if summary.looks:
        last = summary.looks[-1]
        share = share_of_look(last.number + 1)
        looked_at = sum(last.num_pairs.get(block, 0) for block in dict.fromkeys(pair.block for pair in pairs))
    return (1 - summary.confidence) * share / max(len(pairs), looked_at)


def _count_images(verdict: Verdict, spread: Spread, level: float) -> tuple[int | None, int | None]:
    """Return the test images that would settle the pair at 80% power, if the difference is large or small.

    Normal approximation; the difference from its interval at confidence LIKELY, the variances as estimated.
    """
    from scipy.special import ndtri

    size, reach = abs(verdict.difference or 0.0), -float(ndtri((1 - LIKELY) / 2)) * math.sqrt(sum(spread.parts))
    ways = [((size + reach, size - reach), level)]
    if verdict.margin is not None and size < verdict.margin:
        ways.append(((verdict.margin - max(0.0, size - reach), verdict.margin - size - reach), 2 * level))
    counts = [[_find_images(spread, distance, way_level) for distance in distances] for distances, way_level in ways]
    # Either verdict settles the pair, so the way that is shorter counts, at both ends.
    least, most = (min((n for n in end if n is not None), default=None) for end in zip(*counts, strict=True))
    return least, most


def _find_images(spread: Spread, distance: float, level: float) -> int | None:
    from scipy.special import ndtri, stdtrit

    r, n = spread.num_replicates, spread.num_images
    seeds, images, rest = spread.parts
    t2, z2 = float(stdtrit(r - 1, level / 2)) ** 2, float(ndtri(level / 2)) ** 2
    power = float(ndtri(POWER))

    def suffices(times: float) -> bool:
        shared, own = (images / times), rest / times
        reach = math.sqrt(t2 * (seeds + own) + z2 * shared)
        return distance >= reach + power * math.sqrt(seeds + own + shared)

    if distance <= 0 or not suffices(_MOST_TIMES):
        return None
    low, high = 0.0, float(_MOST_TIMES)
    while high - low > 0.01 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    # Two figures are all that the estimate is worth.
    needed = max(n + 1.0, high * n) * spread.num_scored / n
    digit = 10 ** max(0, math.floor(math.log10(needed)) - 1)
    return int(math.ceil(needed / digit) * digit)
