from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor

from bakeoff.catalog.losses import BinaryCrossEntropy, Focal
from bakeoff.catalog.objective_settings import ObjectiveSettings
from bakeoff.engine.augment.mix_images import Mixed
from bakeoff.engine.fused.vision import import_timm, import_torchvision
from bakeoff.engine.objective import Objective, weigh_classes
from bakeoff.errors import DataError

NAMES = ("a", "b", "c", "d")
TRAIN_LABELS = np.repeat(np.arange(4), (10, 5, 3, 2))
WEIGHTS = {"a": 2.0, "d": 0.25}
WEIGHTS_L = torch.tensor([2.0, 1.0, 1.0, 0.25])
SETTINGS = [
    ObjectiveSettings(),
    ObjectiveSettings(label_smoothing=0.1),
    ObjectiveSettings(class_weights="balanced"),
    ObjectiveSettings(label_smoothing=0.3, class_weights=WEIGHTS),
]


def _objective(settings: Sequence[ObjectiveSettings]) -> Objective:
    return Objective(settings, NAMES, TRAIN_LABELS)


def _batch(num_members: int, num_images: int = 9) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(6)
    logits = 3 * torch.randn(num_members, num_images, 4, generator=generator)
    return logits.requires_grad_(), torch.randint(4, (num_images,), generator=generator)


def _mixed(num_images: int = 9) -> Mixed:
    generator = torch.Generator().manual_seed(8)
    return Mixed(torch.randint(4, (num_images,), generator=generator), torch.rand(num_images, generator=generator))


def _gradient(losses: Tensor, logits: Tensor) -> Tensor:
    return torch.autograd.grad(losses.sum(), logits)[0]


@pytest.mark.parametrize("num_members", [1, 3])
def test_with_defaults_it_is_torchs_to_the_last_bit(num_members: int) -> None:
    logits, labels = _batch(num_members)
    losses = _objective([ObjectiveSettings()] * num_members)(logits, labels, None)
    expected = F.cross_entropy(logits.flatten(0, 1), labels.repeat(num_members), reduction="none")
    assert torch.equal(losses, expected.view(num_members, -1))
    assert torch.equal(_gradient(losses, logits), _gradient(expected, logits))


@pytest.mark.parametrize("with_mixing", [False, True])
def test_a_members_loss_does_not_depend_on_who_trains_beside_it(with_mixing: bool) -> None:
    logits, labels = _batch(4)
    mixed = _mixed() if with_mixing else None
    together = _objective(SETTINGS)(logits, labels, mixed)
    gradient = _gradient(together, logits)
    for k, settings in enumerate(SETTINGS):
        own = logits[k : k + 1].detach().requires_grad_()
        alone = _objective([settings])(own, labels, mixed)
        assert torch.equal(together[k], alone[0])
        assert torch.equal(gradient[k], _gradient(alone, own)[0])


@pytest.mark.parametrize("smoothing", [0.1, 0.5, 0.99])
def test_smoothing_is_torchs(smoothing: float) -> None:
    logits, labels = _batch(1)
    losses = _objective([ObjectiveSettings(label_smoothing=smoothing)])(logits, labels)
    expected = F.cross_entropy(logits[0], labels, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(losses[0], expected)
    torch.testing.assert_close(_gradient(losses, logits), _gradient(expected, logits))


def test_weights_are_torchs_without_its_division() -> None:
    logits, labels = _batch(1)
    losses = _objective([ObjectiveSettings(class_weights=WEIGHTS)])(logits, labels)
    torch.testing.assert_close(losses[0], F.cross_entropy(logits[0], labels, weight=WEIGHTS_L, reduction="none"))


def test_weights_multiply_the_smoothed_loss_as_in_keras() -> None:
    logits, labels = _batch(4)
    losses = _objective(SETTINGS)(logits, labels)
    smoothed = F.cross_entropy(logits[3], labels, reduction="none", label_smoothing=0.3)
    torch.testing.assert_close(losses[3], WEIGHTS_L[labels] * smoothed)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_mixed_targets_are_torchs_soft_targets(smoothing: float) -> None:
    logits, labels = _batch(1)
    mixed = _mixed()
    losses = _objective([ObjectiveSettings(label_smoothing=smoothing)])(logits, labels, mixed)
    shares = mixed.share_N.unsqueeze(1)
    targets = shares * F.one_hot(labels, 4) + (1 - shares) * F.one_hot(mixed.partner_labels_N, 4)
    expected = F.cross_entropy(logits[0], targets, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(losses[0], expected)
    torch.testing.assert_close(_gradient(losses, logits), _gradient(expected, logits))


def test_members_may_have_shares_of_their_own() -> None:
    logits, labels = _batch(4)
    mixed = _mixed()
    shares = torch.stack([torch.ones(9), mixed.share_N, mixed.share_N, torch.zeros(9)])
    losses = _objective(SETTINGS)(logits, labels, Mixed(mixed.partner_labels_N, shares))
    assert torch.equal(losses[0], _objective(SETTINGS)(logits, labels)[0]), "share 1: not mixed"
    assert torch.equal(losses[1:3], _objective(SETTINGS)(logits, labels, mixed)[1:3])
    assert torch.equal(losses[3], _objective(SETTINGS)(logits, mixed.partner_labels_N)[3]), "share 0: the partner"


def test_losses_are_float32_whatever_the_logits() -> None:
    logits, labels = _batch(4)
    for settings in ([ObjectiveSettings()] * 4, SETTINGS):
        losses = _objective(settings)(logits.bfloat16(), labels)
        assert losses.dtype == torch.float32
        assert torch.equal(losses, _objective(settings)(logits.bfloat16().float(), labels))


def test_balanced_is_scikit_learns_and_1_on_average() -> None:
    weights = weigh_classes(ObjectiveSettings(class_weights="balanced"), NAMES, TRAIN_LABELS)
    assert weights == pytest.approx(compute_class_weight("balanced", classes=np.arange(4), y=TRAIN_LABELS))
    assert weights[TRAIN_LABELS].mean() == pytest.approx(1.0)
    assert weights * np.bincount(TRAIN_LABELS) == pytest.approx(5.0)


def test_a_class_without_images_does_not_weigh() -> None:
    labels = TRAIN_LABELS[TRAIN_LABELS != 1]
    weights = weigh_classes(ObjectiveSettings(class_weights="balanced"), NAMES, labels)
    assert weights[labels].mean() == pytest.approx(1.0)
    assert weights[1] == 1.0


def test_weights_by_name() -> None:
    assert weigh_classes(ObjectiveSettings(class_weights=WEIGHTS), NAMES, TRAIN_LABELS).tolist() == WEIGHTS_L.tolist()
    with pytest.raises(DataError, match="no class 'e'"):
        _objective([ObjectiveSettings(), ObjectiveSettings(class_weights={"e": 1.0})])


def test_focal_loss_is_as_published_and_members_keep_their_own() -> None:
    logits, labels = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(3)), torch.arange(6) % 4
    settings = [ObjectiveSettings(), ObjectiveSettings(loss=Focal(gamma=2.0)), ObjectiveSettings(loss=Focal(gamma=0))]
    losses = Objective(settings, NAMES, TRAIN_LABELS)(logits, labels)
    right = logits.softmax(2)[:, torch.arange(6), labels]
    torch.testing.assert_close(losses[0], -right[0].log())
    torch.testing.assert_close(losses[1], -((1 - right[1]) ** 2) * right[1].log())
    torch.testing.assert_close(losses[2], -right[2].log())


def test_a_registered_loss_is_weighed_by_class() -> None:
    logits, labels = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(3)), torch.arange(6) % 4
    plain, weighed = (
        Objective([ObjectiveSettings(loss=Focal(), class_weights=weights)], NAMES, TRAIN_LABELS)(logits, labels)
        for weights in (None, WEIGHTS)
    )
    torch.testing.assert_close(weighed, plain * WEIGHTS_L[labels])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("threshold", [None, 0.0, 0.3])
@pytest.mark.parametrize("sum_classes", [False, True])
def test_bce_is_timms(smoothing: float, threshold: float | None, sum_classes: bool) -> None:
    import_timm()
    from timm.data.mixup import mixup_target
    from timm.loss import BinaryCrossEntropy as TimmBinaryCrossEntropy

    loss = BinaryCrossEntropy(target_threshold=threshold, sum_classes=sum_classes)
    objective = _objective([ObjectiveSettings(label_smoothing=smoothing, loss=loss), ObjectiveSettings()])
    logits, labels = _batch(2)
    theirs = TimmBinaryCrossEntropy(smoothing, threshold, reduction="none", sum_classes=sum_classes)

    def expect(target: Tensor) -> Tensor:
        # timm's own sum is averaged over the batch at once: its single losses are those of single images.
        rows = [theirs(logits[0, n : n + 1], target[n : n + 1]) for n in range(len(labels))]
        return torch.stack([row if sum_classes else row.mean() for row in rows])

    losses = objective(logits, labels)
    torch.testing.assert_close(losses[0], expect(labels))
    torch.testing.assert_close(_gradient(losses[0], logits), _gradient(expect(labels), logits))
    assert torch.equal(losses[1], F.cross_entropy(logits[1], labels, reduction="none"))
    generator, partners = torch.Generator().manual_seed(3), labels.flip(0)
    for share in torch.rand(2, generator=generator).tolist():
        targets = mixup_target(labels, 4, share, smoothing)
        mixed = objective(logits, labels, Mixed(partners, torch.full((9,), share)))
        torch.testing.assert_close(mixed[0], expect(targets))


def test_bce_of_mixtures_has_mixed_class_weights_and_own_images_of_each_member() -> None:
    settings = ObjectiveSettings(class_weights=WEIGHTS, loss=BinaryCrossEntropy())
    logits, _ = _batch(2)
    labels_KN, partners_KN = torch.arange(18).view(2, 9) % 4, torch.arange(18).view(2, 9) // 3 % 4
    share_KN = torch.rand(2, 9, generator=torch.Generator().manual_seed(1))
    together = _objective([settings] * 2)(logits, labels_KN, Mixed(partners_KN, share_KN))
    for k in range(2):
        share_N, weights_N = share_KN[k], WEIGHTS_L[labels_KN[k]]
        targets = share_N[:, None] * F.one_hot(labels_KN[k], 4) + (1 - share_N)[:, None] * F.one_hot(partners_KN[k], 4)
        weights_N = share_N * weights_N + (1 - share_N) * WEIGHTS_L[partners_KN[k]]
        expected = F.binary_cross_entropy_with_logits(logits[k], targets, reduction="none").mean(1) * weights_N
        torch.testing.assert_close(together[k], expected)
        alone = _objective([settings])(logits[k : k + 1], labels_KN[k], Mixed(partners_KN[k], share_KN[k]))
        assert torch.equal(alone[0], together[k])


def test_focal_of_two_classes_is_the_sigmoid_s() -> None:
    import_torchvision()
    from torchvision.ops import sigmoid_focal_loss

    # Of logits (-x / 2, x / 2) softmax is the sigmoid of x; alpha of one half is the same for both classes.
    logits = torch.linspace(-4, 4, 9)
    labels = torch.arange(9) % 2
    ours = Objective([ObjectiveSettings(loss=Focal(gamma=1.5, alpha=0.5))], ("a", "b"), np.arange(2))
    found = ours(torch.stack([-logits / 2, logits / 2], dim=1)[None], labels)[0]
    torch.testing.assert_close(found, sigmoid_focal_loss(logits, labels.float(), alpha=0.5, gamma=1.5))
    assert "alpha" not in Focal().model_dump()
