"""A Bayesian reading of pairs: how probable it is that a is better than b, or that the two differ too little to matter.

One block: the posterior of the mean difference under a flat prior is a t distribution about it (for folds the Bayesian
correlated t test; Corani and Benavoli 2015, "A Bayesian approach for comparing cross-validated algorithms on multiple
data sets"), with the standard error over seeds and images that the verdict's scope asks for. The margin is the region
of practical equivalence. Several blocks: a hierarchical model (Benavoli, Corani, Demsar and Zaffalon 2017, "Time for a
change: a tutorial for comparing multiple classifiers through Bayesian analysis", section 5); we deviate by normal
instead of t distributed blocks, which needs no sampling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bakeoff.stats.effects import find_errors
from bakeoff.stats.family import Decision, VerdictWord
from bakeoff.stats.pairs import PairComparison

MIN_BLOCKS = 3
"""Under fewer blocks a flat prior on their spread leaves no proper posterior."""

_NUM_SPREADS = 400


@dataclass(frozen=True)
class Posterior:
    """Probabilities that sum to 1: a is better than b by more than the margin, within it either way, worse.

    Without a margin it is 0, and `equivalent` with it.
    """

    better: float
    equivalent: float
    worse: float

    def decide(self, confidence: float) -> VerdictWord:
        """Return the word whose probability is at least `confidence`."""
        words: tuple[tuple[VerdictWord, float], ...] = (
            ("better", self.better),
            ("equivalent", self.equivalent),
            ("worse", self.worse),
        )
        return next((word for word, probability in words if probability >= confidence), "inconclusive")


def find_posterior(comparison: PairComparison) -> Posterior | None:
    """Return what one block says of a pair; None under 3 runs or without spread."""
    errors = find_errors(comparison)
    if errors is None or comparison.difference is None:
        return None
    from scipy.special import stdtr

    lead = comparison.difference * (1 if comparison.higher_is_better else -1)
    margin = comparison.margin or 0.0
    better = float(stdtr(errors.degrees, (lead - margin) / errors.mean))
    worse = float(stdtr(errors.degrees, (-lead - margin) / errors.mean))
    return Posterior(better, max(0.0, 1 - better - worse), worse)


def decide_by_posterior(comparison: PairComparison) -> Decision:
    """Give a pair the verdict of its posterior; there is no correction for the number of pairs."""
    found = find_posterior(comparison)
    word: VerdictWord = "inconclusive" if found is None else found.decide(comparison.confidence)
    reason = f"{comparison.n} in common: too few or without spread"
    if found is not None:
        reason = f"better {found.better:.2f}, equivalent {found.equivalent:.2f}, worse {found.worse:.2f}"
    return Decision(
        verdict=word,
        reason=reason,
        p_adjusted=None,
        p_equivalence_adjusted=None,
        p_margin_adjusted=None,
        p_behind_adjusted=None if found is None or comparison.margin is None else min(found.better, found.worse),
        needed=None,
    )


def pool_blocks(leads: Sequence[tuple[float, float]], margin: float = 0.0) -> Posterior | None:
    """Return what several blocks together say of a pair's mean difference in a new block; None under MIN_BLOCKS.

    Blocks are draws of one normal population, their estimates normal about their own true differences. Flat priors on
    the population's mean and, up to ten times what is seen, on its standard deviation (Gelman 2006, "Prior
    distributions for variance parameters in hierarchical models").

    Args:
        leads: per block the difference, positive where a is better, and its standard error, above 0.
        margin: 0 or more.
    """
    if len(leads) < MIN_BLOCKS:
        return None
    from scipy.special import ndtr

    leads_B, errors_B = np.array(leads, dtype=np.float64).T
    spreads_S = np.linspace(0.0, 10 * max(float(leads_B.std(ddof=1)), float(errors_B.max())), _NUM_SPREADS)
    variances_SB = spreads_S[:, None] ** 2 + errors_B**2
    precision_S = (1 / variances_SB).sum(axis=1)
    mean_S = (leads_B / variances_SB).sum(axis=1) / precision_S
    log_S = -0.5 * (np.log(variances_SB) + (leads_B - mean_S[:, None]) ** 2 / variances_SB).sum(axis=1)
    log_S -= 0.5 * np.log(precision_S)
    weights_S = np.exp(log_S - log_S.max())
    weights_S /= weights_S.sum()
    sd_S = np.sqrt(1 / precision_S + spreads_S**2)
    better = float((weights_S * ndtr((mean_S - margin) / sd_S)).sum())
    worse = float((weights_S * ndtr((-mean_S - margin) / sd_S)).sum())
    return Posterior(better, max(0.0, 1 - better - worse), worse)


def standard_error(comparison: PairComparison) -> float | None:
    """Return the standard error of a pair's difference with the t distribution's own spread; None as above."""
    errors = find_errors(comparison)
    if errors is None:
        return None
    degrees = errors.degrees
    return errors.mean * (math.sqrt(degrees / (degrees - 2)) if degrees > 2 else math.sqrt(3))
