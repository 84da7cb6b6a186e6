"""Do verdicts hold for new seeds and new images, as they claim? Simulated studies with a known truth, before and after.

    python benchmarks/rigor_scope.py --studies 1000

"Before" is the paired t test over replicates, which treats the test images as the whole population. A prediction is
correct if its logit is positive: the sum of the image's difficulty and effects of arm and image, of the seed, and of
seed and image. Draws are seeded. With RIGOR_DATA_DIR (a folder with the files of MNIST and Fashion-MNIST) also real
learners on real images: small test sets drawn from the 10,000 against the whole.
"""

from __future__ import annotations

import gzip
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rigor_batches import cover, differ, equate, measure_batch, reach_by_t
from rigor_pairs import ERROR_RATE, holds, percent, run_tables
from scipy.stats import binom

from bakeoff.stats.pairs import PairComparison, compare_pair
from bakeoff.stats.variance import Side, Spread, measure_spread

Row = dict[str, Any]
Bits = NDArray[np.bool_]

BATCH = 250
"""Number of studies measured at once."""

DATA_DIR = os.environ.get("RIGOR_DATA_DIR", "")


@dataclass(frozen=True)
class Population:
    """A distribution of correct and wrong predictions.

    Attributes:
        accuracy: approximate accuracy.
        arm_image_sd: sd of the interaction of arm and image: differences between arms on an image, with any seed.
        seed_sd: sd of a seed's sampling error, common to all images.
        seed_image_sd: sd of the interaction of seed and image.
    """

    name: str
    accuracy: float
    arm_image_sd: float
    seed_sd: float
    seed_image_sd: float

    def draw(self, rng: np.random.Generator, shape: tuple[int, int, int, int], lead: float = 0.0) -> Bits:
        """Draw [studies, arms, R, N] correct or wrong predictions; the first arm's logits are `lead` higher."""
        s, arms, r, n = shape
        logits = 1.6 * math.log(self.accuracy / (1 - self.accuracy)) + 2 * _normal(rng, s, 1, 1, n)
        logits = logits + self.arm_image_sd * _normal(rng, s, arms, 1, n)
        logits = logits + self.seed_sd * _normal(rng, s, arms, r, 1)
        logits = logits + self.seed_image_sd * _normal(rng, s, arms, r, n)
        logits[:, 0] += lead
        return np.asarray(logits > 0)


def _normal(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return rng.standard_normal(shape, dtype=np.float32)


POPULATIONS = (
    Population("80%, seeds differ by image", 0.8, 0.0, 0.0, 1.0),
    Population("80%, arms differ by image", 0.8, 0.5, 0.1, 1.0),
    Population("97%, arms differ by image", 0.97, 0.5, 0.1, 1.0),
    Population("80%, seeds good or bad", 0.8, 0.5, 0.3, 0.3),
)


def main() -> dict[str, list[Row]]:
    """Measure, print, and return the tables as JSON values."""
    return run_tables(__doc__ or "", TABLES)


def compare(a_RN: NDArray[Any], b_RN: NDArray[Any], margin: float | None = None) -> PairComparison:
    spread = measure_spread(a_RN, b_RN, unit=1.0)
    return compare_pair(a_RN.mean(axis=1), b_RN.mean(axis=1), margin=margin, spread=spread)


def compare_before(a_RN: NDArray[Any], b_RN: NDArray[Any], margin: float | None = None) -> PairComparison:
    return compare_pair(a_RN.mean(axis=1), b_RN.mean(axis=1), margin=margin)


@dataclass(frozen=True)
class Judged:
    """Studies of two arms: the measured spread of each, and the plain t test's mean and half width."""

    spreads: list[Spread]
    mean_S: NDArray[np.float64]
    width_S: NDArray[np.float64]

    def rate(self, truth: float = 0.0) -> Row:
        """Return how often a difference is found, and how often intervals contain the true one, before and now."""
        return {
            "found, before": percent(np.mean(np.abs(self.mean_S) >= self.width_S)),
            "found": percent(np.mean(differ(self.spreads))),
            "covers, before": percent(np.mean(np.abs(self.mean_S - truth) <= self.width_S)),
            "covers": percent(np.mean(cover(self.spreads, truth))),
        }


def judge_many(
    population: Population, num_studies: int, r: int, n: int, lead: float = 0.0, seed: tuple[int, ...] = ()
) -> Judged:
    """Draw studies of two arms and judge them, batch by batch."""
    rng, spreads, plain = np.random.default_rng([r, n, *seed]), [], []
    for size in list_batches(num_studies):
        a_SRN, b_SRN = population.draw(rng, (size, 2, r, n), lead).astype(np.float32).swapaxes(0, 1)
        spreads += measure_batch(a_SRN - b_SRN)
        plain.append(reach_by_t((a_SRN - b_SRN).mean(axis=2, dtype=np.float64)))
    mean_S, width_S = (np.concatenate(of_batches) for of_batches in zip(*plain, strict=True))
    return Judged(spreads, mean_S, width_S)


def list_batches(num_studies: int) -> list[int]:
    return [min(BATCH, num_studies - start) for start in range(0, num_studies, BATCH)]


def measure_equal(num_studies: int) -> list[Row]:
    """Judge two arms that are equal over all images: every winner is false, every interval should contain 0."""
    rows = []
    for population in POPULATIONS:
        for r, n in ((3, 359), (5, 359), (20, 359), (5, 100), (5, 2_000)):
            judged = judge_many(population, num_studies, r, n)
            found = judged.rate()
            rows.append(
                {
                    "population": population.name,
                    "replicates": r,
                    "images": n,
                    "telling": f"{np.mean([spread.num_telling for spread in judged.spreads]):.0f}",
                    "false winner, before": found["found, before"],
                    "false winner": found["found"],
                    "covers, before": found["covers, before"],
                    "covers": found["covers"],
                }
            )
    return rows


def measure_families(num_studies: int) -> list[Row]:
    """Judge families of equal arms with Holm's correction: any winner means that its strictest step was passed."""
    rows = []
    for population in POPULATIONS:
        for num_arms, r in ((3, 5), (9, 3), (9, 10)):
            rng, found = np.random.default_rng([num_arms, r]), np.zeros(2)
            pairs = list(combinations(range(num_arms), 2))
            level = ERROR_RATE / len(pairs)
            for size in list_batches(num_studies):
                arms_ASRN = population.draw(rng, (size, num_arms, r, 359)).astype(np.float32).swapaxes(0, 1)
                any_S = np.zeros((2, size), dtype=bool)
                for a, b in pairs:
                    d_SRN = arms_ASRN[a] - arms_ASRN[b]
                    mean_S, width_S = reach_by_t(d_SRN.mean(axis=2, dtype=np.float64), level / 2)
                    any_S |= np.abs(mean_S) >= width_S, differ(measure_batch(d_SRN), level)
                found += any_S.sum(axis=1)
            before, now = found / num_studies
            rows.append(
                {
                    "population": population.name,
                    "arms": num_arms,
                    "replicates": r,
                    "false winner, before": percent(before),
                    "false winner": percent(now),
                }
            )
    return rows


def find_truth(population: Population, lead: float) -> float:
    """Return the first arm's true lead over the others, from 5,000 seeds, with 4,000 images per hundred seeds."""
    rng = np.random.default_rng(0)
    accuracies_2 = np.mean([population.draw(rng, (1, 2, 100, 4_000), lead).mean(axis=(0, 2, 3)) for _ in range(50)], 0)
    return float(accuracies_2[0] - accuracies_2[1])


def measure_power(num_studies: int) -> list[Row]:
    """Judge an arm that is better: power, and how often intervals contain the difference over all images."""
    rows = []
    for population in POPULATIONS[1:]:
        for lead in (0.2, 0.4):
            truth = find_truth(population, lead)
            for r, n in ((5, 359), (10, 359), (5, 2_000)):
                judged = judge_many(population, num_studies, r, n, lead, (round(10 * lead),))
                about = {"population": population.name, "true difference": f"{100 * truth:.2f}"}
                rows.append({**about, "replicates": r, "images": n, **judged.rate(truth)})
    return rows


def measure_equivalence(num_studies: int) -> list[Row]:
    """Judge arms that differ by exactly the margin, on few images: "equivalent" is false; by half of it: true.

    One arm errs on a fraction of the images on which the other is correct: on the same images in every replicate, in
    half of the replicates, or on different images every time. "Before" treats differences that are all zero as proof;
    "symmetric" ends have no skewness correction.
    """
    rows = []
    draws: dict[str, Callable[..., NDArray[np.bool_]]] = {
        "other images each time": lambda rng, s, r, n, q: rng.random((s, r, n)) < q,
        "the same images": lambda rng, s, r, n, q: np.broadcast_to(rng.random((s, 1, n)) < q, (s, r, n)),
        "half of the time": lambda rng, s, r, n, q: (rng.random((s, 1, n)) < 2 * q) & (rng.random((s, r, n)) < 0.5),
    }
    for name, draw in draws.items():
        for margin, r, n in EQUIVALENCES:
            rng, found = np.random.default_rng(r), np.zeros(5)
            for size in list_batches(num_studies):
                d_SRN = -draw(rng, size, r, n, margin).astype(np.float32)
                before = [call_equivalent(values_R, margin) for values_R in d_SRN.mean(axis=2, dtype=np.float64)]
                near_SRN = -draw(rng, size, r, n, margin / 2).astype(np.float32)
                now = [
                    equate(measured, margin, sides).sum()
                    for measured in map(measure_batch, (d_SRN, near_SRN))
                    for sides in ((0, 0), (-1, 1))
                ]
                found += np.sum(before), *now
            shares = dict(
                zip(("false, before", "false, symmetric", "false", "found, symmetric", "found"), found, strict=True)
            )
            about = {"differ on": name, "margin, points": 100 * margin, "replicates": r, "images": n}
            rows.append({**about, **{key: percent(number / num_studies) for key, number in shares.items()}})
    return rows


def measure_margins(_: int) -> list[Row]:
    """Compute the exact rate of false equivalence by margin: k of 10,000 images differ, in one direction, for any seed.

    The number of images that differ is binomial, and it alone determines whether arms are called equivalent.
    """
    n, largest = 10_000, 250
    d_SRN = -np.tile((np.arange(n) < np.arange(largest)[:, None]).astype(np.float32)[:, None], (1, 3, 1))
    spreads, rows = measure_batch(d_SRN), []
    for level in (ERROR_RATE, ERROR_RATE / 28):
        reach = [[n * (each.half_width(level, "images", side) - each.difference) for each in spreads] for side in SIDES]
        for least, most in ((3, 10), (10, 40), (40, 200)):
            margins = np.arange(least, most, 0.02)
            # All counts whose far end is inside the margin; the ends increase with the count.
            rates = [100 * binom.cdf(np.searchsorted(ends, margins, "right") - 1, n, margins / n) for ends in reach]
            found = {}
            for name, rate in zip(("symmetric", "now"), rates, strict=True):
                found |= {f"{name}, mean": f"{rate.mean():.2f}%", f"{name}, up to": f"{rate.max():.2f}%"}
            about = {"studies": 0, "level": f"{100 * level:.2f}%", "margin, images": f"{least} to {most}"}
            rows.append({**about, **found})
    return rows


SIDES: tuple[Side, ...] = (0, -1)
"""Ends without and with a skewness correction."""

EQUIVALENCES = ((0.003, 3, 100), (0.003, 5, 359), (0.01, 3, 359), (0.01, 10, 359), (0.02, 5, 1_000), (0.03, 5, 1_000))
"""Margins, replicates and images."""


def call_equivalent(values_R: NDArray[np.float64], margin: float) -> bool:
    """Judge without sampling error of images: differences that are all zero are proof."""
    pair = compare_pair(values_R, np.zeros(len(values_R)), margin=margin)
    return (pair.exact and pair.difference == 0) or equates(pair)


def equates(pair: PairComparison) -> bool:
    return pair.p_equivalence is not None and pair.p_equivalence <= ERROR_RATE


def finds(pair: PairComparison) -> bool:
    return pair.p is not None and pair.p <= ERROR_RATE


def measure_collapses(num_studies: int) -> list[Row]:
    """Judge an arm that loses 50 points in one seed of ten, and is otherwise equal or 0.5 points ahead.

    Over all seeds it is worse by 5 points, so "equivalent" and "better" are both false for the mean. They are true for
    the seeds that do not collapse; a headline says so, with a bound on the rate of collapses.
    """
    rows = []
    for r in (3, 5, 10, 20):
        rng, found = np.random.default_rng(r), np.zeros(4)
        for _ in range(num_studies):
            for number, lead in ((0, 0.0), (1, 0.1)):
                a_RN, b_RN = POPULATIONS[0].draw(rng, (1, 2, r, 5_000), lead)[0]
                collapsed = rng.random(r) < 0.1
                a_RN = np.where(collapsed[:, None], rng.random(a_RN.shape) < 0.3, a_RN)
                pair = compare(a_RN, b_RN, margin=0.02)
                found[number] += equates(pair) if lead == 0 else finds(pair) and (pair.difference or 0) > 0
                found[2 + number] += (equates(pair) if lead == 0 else finds(pair)) and not collapsed.any()
        rows.append(
            {
                "replicates": r,
                "equivalent": percent(found[0] / num_studies),
                "better": percent(found[1] / num_studies),
                "either, with a collapse seen": percent((found[:2] - found[2:]).clip(0).max() / num_studies),
                "collapse rate not excluded": percent(1 - 0.05 ** (1 / r)),
            }
        )
    return rows


# --- Real learners on real images ----------------------------------------------------------------------------------


def measure_real(num_studies: int) -> list[Row]:
    """Judge real learners on small test sets drawn from 10,000 images: do intervals contain the difference on all?

    Arms are ridge regressions on random features of the pixels, with different widths and penalties; a seed draws 1,000
    training images and the features. The truth is the mean over 60 seeds and all 10,000 images.
    """
    rows = []
    for name in ("mnist", "fashion-mnist") if DATA_DIR else ():
        answers = {arm: train_seeds(name, width, penalty) for arm, (width, penalty) in ARMS.items()}
        for a, b in (("300", "300, as good"), ("300", "250"), ("300", "less penalty")):
            right_SN, other_SN = answers[a], answers[b]
            truth = float(right_SN.mean() - other_SN.mean())
            for r, n in ((3, 359), (5, 359), (10, 359), (5, 1_000)):
                rng, held = np.random.default_rng([r, n]), np.zeros(2)
                for _ in range(num_studies):
                    seeds, images = rng.choice(60, r, replace=False), rng.choice(10_000, n, replace=False)
                    pair = [arm[np.ix_(seeds, images)] for arm in (right_SN, other_SN)]
                    held += [holds(way(*pair).interval, truth) for way in (compare_before, compare)]
                before, now = held / num_studies
                rows.append(
                    {
                        "images of": name,
                        "arms": f"{a} against {b}",
                        "difference, points": f"{100 * truth:.2f}",
                        "replicates": r,
                        "images": n,
                        "covers, before": percent(before),
                        "covers": percent(now),
                    }
                )
    return rows


ARMS = {"300": (300, 1.0), "300, as good": (300, 1.0), "250": (250, 1.0), "less penalty": (300, 0.1)}


def train_seeds(name: str, width: int, penalty: float) -> Bits:
    """Train one arm on 60 seeds: [60, 10,000] correct or wrong predictions. Equal arms have different draws."""
    train_ND, labels_N = read_images(name, "train")
    test_ND, truth_N = read_images(name, "t10k")
    rng = np.random.default_rng([width, round(10 * penalty), next(_COUNTER)])
    # Half of an arm's features are the same for all seeds, so that arms differ by image like networks do.
    kept = rng.standard_normal((train_ND.shape[1], width // 2))
    rows = []
    for _ in range(60):
        own = np.concatenate([kept, rng.standard_normal((train_ND.shape[1], width - width // 2))], axis=1)
        chosen = rng.choice(len(train_ND), 1_000, replace=False)
        hidden, seen = (np.maximum(images @ own, 0) / 28 for images in (train_ND[chosen], test_ND))
        weights = np.linalg.solve(hidden.T @ hidden + penalty * np.eye(width), hidden.T @ np.eye(10)[labels_N[chosen]])
        rows.append((seen @ weights).argmax(axis=1) == truth_N)
    return np.stack(rows)


_COUNTER = iter(range(1_000_000))


def read_images(name: str, part: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read a part of MNIST or Fashion-MNIST from the published files, compressed or not."""
    root, found = Path(DATA_DIR), []
    for kind, header in (("images-idx3", 16), ("labels-idx1", 8)):
        files = sorted(root.rglob(f"{part}-{kind}-ubyte*"))
        path = next(path for path in files if {part.lower() for part in path.parts} & _NAMES[name])
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        found.append(np.frombuffer(data, np.uint8, offset=header))
    labels_N = found[1].astype(np.int64)
    images_ND = found[0].reshape(len(labels_N), -1).astype(np.float32) / 255 - 0.3
    return images_ND, labels_N


_NAMES = {"mnist": {"mnist"}, "fashion-mnist": {"fashion-mnist", "fashionmnist"}}
"""Names of a dataset's folders."""

TABLES: dict[str, Callable[[int], list[Row]]] = {
    "new images, equal arms": measure_equal,
    "new images, families of equal arms": measure_families,
    "new images, power": measure_power,
    "equivalence without spread": measure_equivalence,
    "equivalence, margin by margin": measure_margins,
    "rare collapses": measure_collapses,
    "real images": measure_real,
}

if __name__ == "__main__":
    main()
