from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from bakeoff.catalog.mixing import MIXES, AnyMix, Mixup
from bakeoff.engine.augment.mix_images import draw_shares, mix, place_boxes

CHOICES = [record.settings() for record in MIXES]
BOTH = pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)


def _batch(num_images: int = 12, channels: int = 3, side: int = 28) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    generator = torch.Generator().manual_seed(7)
    images = torch.rand(num_images, channels, side, side, generator=generator)
    numbers = np.random.default_rng(7).permutation(1000)[:num_images]
    return images.contiguous(memory_format=torch.channels_last), torch.arange(num_images) % 5, numbers


@BOTH
@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 32), (1, 1)])
def test_each_image_is_mixed_with_the_next_by_its_share(choice: AnyMix, channels: int, side: int) -> None:
    images, labels, numbers = _batch(12, channels, side)
    before = images.clone()
    mixed_images, mixed = mix(images, labels, choice, 3, 1, numbers)
    assert torch.equal(images, before), "what was handed in stays"
    assert mixed_images.shape == images.shape
    assert mixed_images.dtype == images.dtype
    assert mixed_images.is_contiguous(memory_format=torch.channels_last)
    assert mixed.share_N.dtype == torch.float32
    assert mixed.partner_labels_N.tolist() == [*labels[1:].tolist(), int(labels[0])]
    for number in range(12):
        own, partner = images[number], images[(number + 1) % 12]
        share = float(mixed.share_N[number])
        if isinstance(choice, Mixup):
            torch.testing.assert_close(mixed_images[number], share * own + (1 - share) * partner)
        else:
            kept = (mixed_images[number] == own).all(0)
            assert torch.equal(mixed_images[number][:, ~kept], partner[:, ~kept])
            assert kept.float().mean().item() == pytest.approx(share, abs=1e-6), "the exact area"


@BOTH
def test_two_images_of_one_batch_get_different_draws(choice: AnyMix) -> None:
    images, labels, numbers = _batch()
    shares = mix(images, labels, choice, 3, 1, numbers)[1].share_N
    assert len(set(shares.tolist())) > 6


@BOTH
def test_draws_are_a_function_of_seed_epoch_and_image(choice: AnyMix) -> None:
    images, labels, numbers = _batch()
    first, mixed = mix(images, labels, choice, 3, 1, numbers)
    again, mixed_again = mix(images, labels, choice, 3, 1, numbers)
    assert torch.equal(first, again)
    assert torch.equal(mixed.share_N, mixed_again.share_N)
    for seed, epoch, others in ((4, 1, numbers), (3, 2, numbers), (3, 1, numbers + 1)):
        assert not torch.equal(mix(images, labels, choice, seed, epoch, others)[1].share_N, mixed.share_N)


@BOTH
def test_an_image_does_not_depend_on_who_else_is_in_the_batch(choice: AnyMix) -> None:
    images, labels, numbers = _batch()
    whole, mixed = mix(images, labels, choice, 3, 1, numbers)
    pair, pair_mixed = mix(images[4:6], labels[4:6], choice, 3, 1, numbers[4:6])
    assert torch.equal(whole[4], pair[0])
    assert mixed.share_N[4] == pair_mixed.share_N[0]


@BOTH
def test_an_image_alone_is_mixed_with_itself(choice: AnyMix) -> None:
    images, labels, numbers = _batch()
    mixed_images, mixed = mix(images[:1], labels[:1], choice, 3, 1, numbers[:1])
    torch.testing.assert_close(mixed_images, images[:1])
    assert mixed.partner_labels_N.tolist() == labels[:1].tolist()


@BOTH
def test_probability(choice: AnyMix) -> None:
    images, labels, numbers = _batch()
    never, mixed = mix(images, labels, choice.model_copy(update={"probability": 0.0}), 3, 1, numbers)
    assert torch.equal(never, images)
    assert mixed.share_N.tolist() == [1.0] * 12
    many = np.arange(4000)
    half = choice.model_copy(update={"probability": 0.5})
    tiny = torch.zeros(4000, 1, 32, 32)
    shares = mix(tiny, torch.zeros(4000, dtype=torch.int64), half, 3, 1, many)[1].share_N
    # Cutmix draws boxes of no pixel now and then.
    assert 0.47 < (shares == 1).float().mean() < 0.55


def test_mixup_shares_are_beta_distributed() -> None:
    for alpha in (0.2, 1.0, 5.0):
        labels = torch.zeros(3000, dtype=torch.int64)
        choice = Mixup(alpha=alpha)
        shares = mix(torch.zeros(3000, 1, 1, 1), labels, choice, 0, 1, np.arange(3000))[1].share_N.double().numpy()
        assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_shares_are_quantiles() -> None:
    numbers = np.array([0.0, 1e-12, 0.2, 0.5, 0.9, 1 - 2.0**-53])
    for alpha in (0.05, 0.2, 1.0, 50.0):
        shares = draw_shares(alpha, numbers)
        assert shares[0] == 0
        assert shares[3] == pytest.approx(0.5)
        assert np.isfinite(shares).all()
        assert (np.diff(shares) >= 0).all()
        assert shares == pytest.approx(stats.beta(alpha, alpha).ppf(numbers))


def _rand_bbox(width: int, height: int, share: float, centre_x: int, centre_y: int) -> tuple[int, int, int, int]:
    """rand_bbox of the authors' code (clovaai/CutMix-PyTorch, train.py), its two random numbers handed in."""
    cut_rat = np.sqrt(1.0 - share)
    cut_w, cut_h = int(width * cut_rat), int(height * cut_rat)
    return (
        int(np.clip(centre_x - cut_w // 2, 0, width)),
        int(np.clip(centre_y - cut_h // 2, 0, height)),
        int(np.clip(centre_x + cut_w // 2, 0, width)),
        int(np.clip(centre_y + cut_h // 2, 0, height)),
    )


def test_boxes_are_the_authors() -> None:
    height, width = 28, 20
    share, vertical, horizontal = np.random.default_rng(2).uniform(size=(3, 200))
    boxes = place_boxes(share, vertical, horizontal, height, width)
    assert boxes.shape == (200, height, width)
    for number in range(200):
        centre = int(horizontal[number] * width), int(vertical[number] * height)
        x1, y1, x2, y2 = _rand_bbox(width, height, share[number], *centre)
        expected = np.zeros((height, width), dtype=bool)
        expected[y1:y2, x1:x2] = True
        assert (boxes[number] == expected).all()
    assert not place_boxes(np.ones(3), vertical[:3], horizontal[:3], 28, 28).any()


def test_the_area_that_is_kept_on_average() -> None:
    """A box of side r, its centre anywhere, covers r - r^2 / 4 of an axis on average, and r^2 is uniform at alpha 1."""
    share, vertical, horizontal = np.random.default_rng(3).uniform(size=(3, 3000))
    kept = 1 - place_boxes(share, vertical, horizontal, 100, 100).mean()
    assert kept == pytest.approx(1 - (1 / 2 - 1 / 5 + 1 / 48), abs=0.02)
