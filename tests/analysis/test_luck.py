from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats

from bakeoff.analysis.luck import bootstrap_difference, wilson_interval


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (7, 10), (9_792, 10_000), (1, 1)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_agrees_with_scipy(successes: int, n: int, confidence: float) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert wilson_interval(successes, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_ends_are_exact_and_nothing_is_known_of_nothing() -> None:
    assert wilson_interval(0, 50)[0] == 0
    assert wilson_interval(50, 50)[1] == 1
    assert wilson_interval(0, 0) == (0, 1)
    for successes, n, confidence in ((11, 10, 0.95), (-1, 10, 0.95), (1, 10, 1.0)):
        with pytest.raises(ValueError, match="must"):
            wilson_interval(successes, n, confidence)


def draw_answers(num_replicates: int, num_images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    hard = rng.random(num_images) ** 4
    a = rng.random((num_replicates, num_images)) > hard
    return a, rng.random((num_replicates, num_images)) > hard * 1.2


@pytest.mark.parametrize("kind", ["answers", "losses"])
def test_bca_agrees_with_scipy(kind: str) -> None:
    a, b = draw_answers(3, 400)
    if kind == "losses":
        rng = np.random.default_rng(1)
        a, b = rng.gamma(0.3, 1.0, (3, 400)), rng.gamma(0.35, 1.0, (3, 400))
    found = bootstrap_difference(a, b, num_resamples=20_000)
    images = (a.astype(float) - b.astype(float)).mean(axis=0)
    expected = stats.bootstrap((images,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(2))
    interval, width = expected.confidence_interval, expected.confidence_interval[1] - expected.confidence_interval[0]
    assert found.difference == pytest.approx(images.mean())
    assert found.interval == pytest.approx((interval.low, interval.high), abs=0.03 * width)
    assert found.standard_error == pytest.approx(images.std() / 20, rel=0.03)
    assert (found.num_images, found.num_replicates) == (400, 3)
    assert found.num_telling == np.count_nonzero(a.astype(float).sum(0) - b.astype(float).sum(0))


def test_same_seed_same_answer_and_images_are_drawn_in_chunks() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5_000)), rng.normal(size=(2, 5_000))
    assert bootstrap_difference(a, b) == bootstrap_difference(a, b)
    assert bootstrap_difference(a, b, seed=1) != bootstrap_difference(a, b)
    mirrored = bootstrap_difference(b, a).difference
    assert mirrored == pytest.approx(-bootstrap_difference(a, b).difference)


def test_pairing_is_kept() -> None:
    # Both arms find the same images hard; what they share must not widen the interval.
    rng = np.random.default_rng(0)
    hard = rng.random(2_000) < 0.3
    a, b = ~hard, ~hard
    b = np.where(rng.random(2_000) < 0.02, ~b, b)
    paired = bootstrap_difference(a[None], b[None])
    shuffled = bootstrap_difference(a[None], rng.permutation(b)[None])
    assert paired.standard_error < 0.3 * shuffled.standard_error


def test_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng, held = np.random.default_rng(3), 0
    for seed in range(300):
        right, wrong = rng.random((1, 500)) < 0.9, rng.random((1, 500)) < 0.85
        interval = bootstrap_difference(right, wrong, num_resamples=500, seed=seed).interval
        assert interval is not None
        held += interval[0] <= 0.05 <= interval[1]
    assert 0.92 < held / 300 < 0.98


def test_nothing_to_resample_has_a_stated_answer() -> None:
    same = np.ones((3, 1_000), dtype=bool)
    found = bootstrap_difference(same, same)
    assert found.method == "rule of three"
    assert found.interval == pytest.approx((-0.003, 0.003), abs=2e-5)
    assert "no image tells the arms apart" in found.limits
    losses = bootstrap_difference(np.full((1, 9), 0.5), np.full((1, 9), 0.25))
    assert (losses.difference, losses.interval, losses.standard_error) == (0.25, None, 0.0)
    assert losses.method == "none: every image says the same"


def test_few_telling_images_are_said_to_be_few() -> None:
    a = np.ones((1, 1_000), dtype=bool)
    b = a.copy()
    b[0, :1] = False
    assert bootstrap_difference(a, b).limits.startswith("only 1 of 1,000 image tells the arms apart")
    b[0, :19] = False
    assert bootstrap_difference(a, b).limits.startswith("only 19 of 1,000 images tell")
    b[0, :20] = False
    assert bootstrap_difference(a, b).limits == ""


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (5, 3)])
def test_tiny_input_gives_finite_answers_without_a_warning(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(20):
            found = bootstrap_difference(rng.random(shape) < 0.5, rng.random(shape) < 0.5, num_resamples=100)
            assert np.isfinite([found.difference, found.standard_error, *(found.interval or ())]).all()


@pytest.mark.parametrize(
    ("a", "b", "options"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), {}),
        (np.ones(3), np.ones(3), {}),
        (np.ones((0, 3)), np.ones((0, 3)), {}),
        (np.full((1, 3), np.nan), np.ones((1, 3)), {}),
        (np.ones((1, 3)), np.ones((1, 3)), {"confidence": 0.0}),
        (np.ones((1, 3)), np.ones((1, 3)), {"num_resamples": 10}),
    ],
)
def test_impossible_input_is_refused(a: np.ndarray, b: np.ndarray, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        bootstrap_difference(a, b, **options)  # type: ignore[arg-type]
