"""Do verdicts hold for new seeds and new images, as they say? Simulated studies with a known truth, before and after.

    python benchmarks/rigor_scope.py --studies 1000

"Before" is the paired t test over replicates, which took the test images for all there are. Models answer images by a
threshold: an image's difficulty, what the arm makes of the image, the seed's own part and the rest add up to a logit.
Draws are seeded. With RIGOR_DATA_DIR (a folder with the files of MNIST and Fashion-MNIST) also real learners on real
images: small test sets drawn from the 10,000 against the whole.
"""

from __future__ import annotations

import gzip
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rigor_pairs import ERROR_RATE, holds, percent, run_tables
from scipy.special import ndtr

from bakeoff.analysis.effects import correct_winner, measure_superiority
from bakeoff.analysis.family import adjust_holm
from bakeoff.analysis.needed import count_needed
from bakeoff.analysis.pairs import PairComparison, compare_pair
from bakeoff.analysis.power import replicates_to_detect
from bakeoff.analysis.variance import measure_spread

Row = dict[str, Any]
Bits = NDArray[np.bool_]

FEW_STUDIES = 300
DATA_DIR = os.environ.get("RIGOR_DATA_DIR", "")


@dataclass(frozen=True)
class Population:
    """How models answer images.

    Attributes:
        accuracy: about the share answered right.
        taste: sd of what an arm makes of an image, beyond its difficulty: where arms differ whatever the seed.
        luck: sd of a seed's own part, on all images.
        rest: sd of what a seed makes of one image.
    """

    name: str
    accuracy: float
    taste: float
    luck: float
    rest: float

    def draw(self, rng: np.random.Generator, num_arms: int, r: int, n: int, lead: float = 0.0) -> Bits:
        """Draw [arms, R, N] answers; the first arm's logits are `lead` higher, the others are equal."""
        base = 1.6 * math.log(self.accuracy / (1 - self.accuracy)) + 2 * rng.standard_normal(n)
        logits = base + self.taste * rng.standard_normal((num_arms, 1, n))
        logits = logits + self.luck * rng.standard_normal((num_arms, r, 1))
        logits = logits + self.rest * rng.standard_normal((num_arms, r, n))
        logits[0] += lead
        return np.asarray(logits > 0)


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


def measure_equal(num_studies: int) -> list[Row]:
    """Judge two arms that are equal over all images: every winner is false, every interval should hold 0."""
    rows = []
    for population in POPULATIONS:
        for r, n in ((3, 359), (5, 359), (20, 359), (5, 100), (5, 2_000)):
            rng = np.random.default_rng([r, n])
            studies = [population.draw(rng, 2, r, n) for _ in range(num_studies if n < 1_000 else FEW_STUDIES)]
            before = [compare_before(a, b) for a, b in studies]
            now = [compare(a, b) for a, b in studies]
            telling = np.mean([pair.spread.num_telling for pair in now if pair.spread])
            rows.append(
                {
                    "population": population.name,
                    "replicates": r,
                    "images": n,
                    "telling": f"{telling:.0f}",
                    "false winner, before": percent(np.mean([finds(pair) for pair in before])),
                    "false winner": percent(np.mean([finds(pair) for pair in now])),
                    "covers, before": percent(np.mean([holds(pair.interval, 0.0) for pair in before])),
                    "covers": percent(np.mean([holds(pair.interval, 0.0) for pair in now])),
                }
            )
    return rows


def finds(pair: PairComparison) -> bool:
    return pair.p is not None and pair.p <= ERROR_RATE


def measure_families(num_studies: int) -> list[Row]:
    """Judge families of equal arms with Holm's correction."""
    rows = []
    for population in POPULATIONS:
        for num_arms, r in ((3, 5), (9, 3), (9, 10)):
            rng, found = np.random.default_rng([num_arms, r]), np.zeros(2)
            for _ in range(min(num_studies, FEW_STUDIES)):
                arms = population.draw(rng, num_arms, r, 359)
                for number, way in enumerate((compare_before, compare)):
                    p_values = [way(a, b).p or 0.0 for a, b in combinations(arms, 2)]
                    found[number] += min(adjust_holm(p_values)) <= ERROR_RATE
            before, now = found / min(num_studies, FEW_STUDIES)
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


def measure_power(num_studies: int) -> list[Row]:
    """Judge an arm that is better: what is still found, and do intervals hold the difference over all images?"""
    rows = []
    for population in POPULATIONS[1:]:
        for lead in (0.2, 0.4):
            many = population.draw(np.random.default_rng(0), 2, 100, 40_000, lead).mean(axis=(1, 2))
            truth = float(many[0] - many[1])
            for r, n in ((5, 359), (10, 359), (5, 2_000)):
                rng = np.random.default_rng([r, n])
                studies = [population.draw(rng, 2, r, n, lead) for _ in range(min(num_studies, 2 * FEW_STUDIES))]
                before, now = ([way(a, b) for a, b in studies] for way in (compare_before, compare))
                rows.append(
                    {
                        "population": population.name,
                        "true difference": f"{100 * truth:.2f}",
                        "replicates": r,
                        "images": n,
                        "found, before": percent(np.mean([finds(pair) for pair in before])),
                        "found": percent(np.mean([finds(pair) for pair in now])),
                        "covers, before": percent(np.mean([holds(pair.interval, truth) for pair in before])),
                        "covers": percent(np.mean([holds(pair.interval, truth) for pair in now])),
                    }
                )
    return rows


def measure_equivalence(num_studies: int) -> list[Row]:
    """Judge arms that differ by exactly the margin, on few images: "equivalent" is false.

    One arm errs on a share of the images that the other answers: in every replicate on the same images, in half of the
    replicates, or on other images every time.
    """
    rows = []
    draws: dict[str, Callable[..., Iterator[NDArray[np.float64]]]] = {
        "other images each time": lambda rng, r, n, q: iter(rng.random((r, n)) < q),
        "the same images": lambda rng, r, n, q: iter(np.broadcast_to(rng.random(n) < q, (r, n))),
        "half of the time": lambda rng, r, n, q: iter((rng.random(n) < 2 * q) & (rng.random((r, n)) < 0.5)),
    }
    for name, draw in draws.items():
        for margin, r, n in ((0.003, 3, 100), (0.003, 5, 359), (0.01, 3, 359), (0.01, 10, 359), (0.03, 5, 1_000)):
            rng, found = np.random.default_rng(r), np.zeros(2)
            for _ in range(num_studies):
                a_RN = ~np.stack(list(draw(rng, r, n, margin))).astype(bool)
                b_RN = np.ones_like(a_RN)
                before, now = compare_before(a_RN, b_RN, margin), compare(a_RN, b_RN, margin)
                level = before.exact and before.difference == 0
                found += level or equates(before), equates(now)
            rows.append(
                {
                    "differ on": name,
                    "margin, points": 100 * margin,
                    "replicates": r,
                    "images": n,
                    "false equivalent, before": percent(found[0] / num_studies),
                    "false equivalent": percent(found[1] / num_studies),
                }
            )
    return rows


def equates(pair: PairComparison) -> bool:
    return pair.p_equivalence is not None and pair.p_equivalence <= ERROR_RATE


def measure_collapses(num_studies: int) -> list[Row]:
    """Judge an arm of which one seed in ten loses 50 points, else equal or 0.5 points ahead.

    Over all seeds it is worse by 5 points, so "equivalent" and "better" are both false of the mean. Of the seeds that
    do not collapse they are true, and that is what a headline says, with the bound on the rate.
    """
    rows = []
    for r in (3, 5, 10, 20):
        rng, found = np.random.default_rng(r), np.zeros(4)
        for _ in range(num_studies):
            for number, lead in ((0, 0.0), (1, 0.1)):
                a_RN, b_RN = POPULATIONS[0].draw(rng, 2, r, 5_000, lead)
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


def measure_needed(num_studies: int) -> list[Row]:
    """Ask open pairs how many more replicates they need: how often does the range hold the number truly needed?"""
    rows = []
    for effect in (0.0, 0.3, 0.5, 1.0):
        for n in (3, 5, 10):
            rng, held, promised = np.random.default_rng(n), [], []
            total = replicates_to_detect(effect, alpha=ERROR_RATE) if effect else None
            for _ in range(num_studies):
                needed = count_needed(compare_pair(rng.normal(effect, 1, n), np.zeros(n)), level=ERROR_RATE)
                if needed is not None:
                    more = math.inf if total is None else max(1, total - n)
                    most = math.inf if needed.most is None else needed.most
                    held.append((needed.least or 101) <= more and more <= most)
                    promised.append(needed.most is not None)
            rows.append(
                {
                    "true difference, sd": effect,
                    "replicates": n,
                    "truly needed": "none is enough" if total is None else str(max(0, total - n)),
                    "range holds it": percent(np.mean(held)),
                    "range has an end": percent(np.mean(promised)),
                }
            )
    return rows


def measure_effects(num_studies: int) -> list[Row]:
    """Measure intervals of P(a > b), and how far winners are exaggerated before and after the correction."""
    rows = []
    for effect in (0.2, 0.5, 1.0, 2.0):
        for n in (3, 5, 10):
            rng, held, plain, corrected = np.random.default_rng(n), [], [], []
            for _ in range(num_studies):
                pair = compare_pair(rng.normal(effect, 1, n), np.zeros(n))
                found = measure_superiority(pair)
                held.append(found is not None and holds(found.interval, float(ndtr(effect))))
                if finds(pair):
                    plain.append(abs(pair.difference or 0.0))
                    corrected.append(abs(correct_winner(pair, ERROR_RATE) or 0.0))
            rows.append(
                {
                    "true difference, sd": effect,
                    "replicates": n,
                    "P(a > b)": percent(ndtr(effect)),
                    "interval covers": percent(np.mean(held)),
                    "winners": percent(len(plain) / num_studies),
                    "exaggerated, plain": f"{np.mean(plain) / effect:.2f}",
                    "corrected": f"{np.mean(corrected) / effect:.2f}",
                }
            )
    return rows


# --- Real learners on real images ----------------------------------------------------------------------------------


def measure_real(num_studies: int) -> list[Row]:
    """Judge real learners on small test sets drawn from 10,000 real images: is the whole's difference held?

    Arms are ridge regressions on random features of the pixels, of other widths and penalties; a seed draws 1,000
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
    """Train one arm on 60 seeds: [60, 10,000] answers right or wrong. Equal arms differ in their own draws."""
    train_ND, labels_N = read_images(name, "train")
    test_ND, truth_N = read_images(name, "t10k")
    rng = np.random.default_rng([width, round(10 * penalty), next(_COUNTER)])
    # What an arm keeps over seeds: half of its features, so that arms differ by image as networks do.
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
    """Read a part of MNIST or Fashion-MNIST from the files as they are published, compressed or not."""
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
"""How the folders of a dataset are called."""

TABLES: dict[str, Callable[[int], list[Row]]] = {
    "new images, equal arms": measure_equal,
    "new images, families of equal arms": measure_families,
    "new images, power": measure_power,
    "equivalence without spread": measure_equivalence,
    "rare collapses": measure_collapses,
    "replicates needed": measure_needed,
    "effects": measure_effects,
    "real images": measure_real,
}

if __name__ == "__main__":
    main()
