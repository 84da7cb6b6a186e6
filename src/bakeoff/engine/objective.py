"""The training loss of each member of a cohort, with smoothed, weighted and mixed targets.

Shape legend: K members, N images, L classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bakeoff.catalog.losses import LOSSES, BinaryCrossEntropy, CrossEntropy, Focal, LossSettings
from bakeoff.catalog.objective_settings import ObjectiveSettings, check_class_weights
from bakeoff.engine.augment.mix_images import Mixed
from bakeoff.registry import bind


class Objective:
    """The loss of every image for every member, each by its own settings.

    A member's loss never depends on the other members, not even in its last digit.

    Args:
        settings: one per member.
        class_names: names of all labels, in order.
        train_labels_N: labels of the training images, for `balanced` weights; a list with one entry per member if
            they differ.

    Raises:
        DataError: class weights name an unknown class.
    """

    def __init__(
        self,
        settings: Sequence[ObjectiveSettings],
        class_names: Sequence[str],
        train_labels_N: npt.NDArray[np.int64] | Sequence[npt.NDArray[np.int64]],
    ) -> None:
        labels_KN = train_labels_N if isinstance(train_labels_N, Sequence) else [train_labels_N] * len(settings)
        self.plain = all(each.plain for each in settings)
        rates = [each.label_smoothing for each in settings]
        self.smoothing_K1 = torch.tensor(rates).unsqueeze(1) if any(rates) else None
        own = {k: each.loss for k, each in enumerate(settings) if each.loss != CrossEntropy()}
        self.soft_losses = {k: loss for k, loss in own.items() if LOSSES.find(loss.name).is_soft}
        self.own_losses = {k: loss for k, loss in own.items() if k not in self.soft_losses}
        self.weights_KL: Tensor | None = None
        if any(each.class_weights is not None for each in settings):
            rows = [weigh_classes(each, class_names, own_N) for each, own_N in zip(settings, labels_KN, strict=True)]
            self.weights_KL = torch.from_numpy(np.stack(rows).astype(np.float32))

    def __call__(self, logits_KNL: Tensor, labels_N: Tensor, mixed: Mixed | None = None) -> Tensor:
        """Return losses_KN in nats, float32; a member's loss of a batch is their plain mean over the images.

        With weights w, smoothing e and probabilities p, an image of label y costs

            w[y] ((1 - e) (-ln p[y]) + e mean_l (-ln p[l]))

        with cross-entropy; another loss replaces -ln p[y] and is not smoothed. A mixture of two images costs the
        weighted sum of their costs. A soft loss has one smoothed and mixed target for both. Class weights multiply an
        image's whole loss, as in Keras; torch's would weight the smoothed part class by class, and divide by the sum of
        weights.

        Args:
            logits_KNL: any floating-point dtype.
            labels_N: int64; (K, N) if each member has its own.
            mixed: the labels and weights with which images were mixed; weights (N,) for all or (K, N).

        Source: Szegedy et al. (2016), Rethinking the Inception architecture, section 7, for the smoothing; Zhang et
            al. (2018), mixup, for mixed targets.
        """
        num_members, num_images, _ = logits_KNL.shape
        if self.plain and mixed is None:
            repeated_labels = labels_N.repeat(num_members) if labels_N.dim() == 1 else labels_N.flatten()
            return F.cross_entropy(logits_KNL.float().flatten(0, 1), repeated_labels, reduction="none").view(
                num_members, num_images
            )
        log_probabilities_KNL = F.log_softmax(logits_KNL.float(), dim=2)
        losses_KN = self._score(log_probabilities_KNL, labels_N)
        if mixed is not None:
            partners_KN = self._score(log_probabilities_KNL, mixed.partner_labels_N)
            losses_KN = mixed.share_N * losses_KN + (1 - mixed.share_N) * partners_KN
        if self.soft_losses:
            rows = list(losses_KN)
            for k, loss in self.soft_losses.items():
                rows[k] = self._score_softly(k, loss, logits_KNL[k].float(), labels_N, mixed)
            losses_KN = torch.stack(rows)
        return losses_KN

    def _score_softly(
        self, k: int, loss: LossSettings, logits_NL: Tensor, labels_N: Tensor, mixed: Mixed | None
    ) -> Tensor:
        """Return losses_N of a member by one target per image; the class weights of a mixture are mixed, too."""
        num_classes = logits_NL.shape[1]

        def make_targets(labels_N: Tensor) -> tuple[Tensor, Tensor | float]:
            own_N = labels_N if labels_N.dim() == 1 else labels_N[k]
            targets_NL = F.one_hot(own_N, num_classes).to(logits_NL.dtype)
            if self.smoothing_K1 is not None:
                smoothing = self.smoothing_K1[k].to(logits_NL.device)
                targets_NL = (1 - smoothing) * targets_NL + smoothing / num_classes
            return targets_NL, 1.0 if self.weights_KL is None else self.weights_KL[k].to(logits_NL.device)[own_N]

        targets_NL, weights_N = make_targets(labels_N)
        if mixed is not None:
            share_N = mixed.share_N if mixed.share_N.dim() == 1 else mixed.share_N[k]
            partner_targets_NL, partner_weights_N = make_targets(mixed.partner_labels_N)
            targets_NL = share_N[:, None] * targets_NL + (1 - share_N)[:, None] * partner_targets_NL
            weights_N = share_N * weights_N + (1 - share_N) * partner_weights_N
        losses_N: Tensor = bind(LOSSES.find(loss.name).score)(loss, logits_NL, targets_NL)
        return losses_N * weights_N

    def _score(self, log_probabilities_KNL: Tensor, labels_N: Tensor) -> Tensor:
        """Return losses_KN of unmixed labels."""
        num_members = len(log_probabilities_KNL)
        chosen_KN1 = labels_N.reshape(-1, labels_N.shape[-1], 1).expand(num_members, -1, 1)
        losses_KN = -log_probabilities_KNL.gather(2, chosen_KN1).squeeze(2)
        if self.own_losses:
            rows = list(losses_KN)
            for k, loss in self.own_losses.items():
                rows[k] = bind(LOSSES.find(loss.name).score)(loss, log_probabilities_KNL[k], chosen_KN1[k].squeeze(1))
            losses_KN = torch.stack(rows)
        if self.smoothing_K1 is not None:
            self.smoothing_K1 = self.smoothing_K1.to(losses_KN.device)
            spread_KN = -log_probabilities_KNL.mean(dim=2)
            losses_KN = (1 - self.smoothing_K1) * losses_KN + self.smoothing_K1 * spread_KN
        if self.weights_KL is not None:
            self.weights_KL = self.weights_KL.to(losses_KN.device)
            losses_KN = losses_KN * self.weights_KL.gather(1, chosen_KN1.squeeze(2))
        return losses_KN


def score_cross_entropy(settings: CrossEntropy, log_probabilities_NC: Tensor, labels_N: Tensor) -> Tensor:
    """Return losses_N: minus the logarithms of the correct classes' probabilities."""
    return -log_probabilities_NC.gather(1, labels_N.unsqueeze(1)).squeeze(1)


def score_focal(settings: Focal, log_probabilities_NC: Tensor, labels_N: Tensor) -> Tensor:
    """Return losses_N: alpha (1 - p)^gamma (-ln p), with p the probability of the correct class.

    Source: Lin et al. (2017), Focal loss for dense object detection, section 3.
    """
    log_right_N = log_probabilities_NC.gather(1, labels_N.unsqueeze(1)).squeeze(1)
    # 1 - p is kept above zero, where the slope of its power is infinite for gamma below 1.
    losses_N = -((-torch.expm1(log_right_N)).clamp(min=1e-12) ** settings.gamma) * log_right_N
    return losses_N if settings.alpha == 1 else settings.alpha * losses_N


def score_bce(settings: BinaryCrossEntropy, logits_NC: Tensor, targets_NC: Tensor) -> Tensor:
    """Return losses_N: the mean (or sum) over classes of the binary cross-entropy of each class's sigmoid.

    Source: timm's `BinaryCrossEntropy`.
    """
    if settings.target_threshold is not None:
        targets_NC = (targets_NC > settings.target_threshold).to(targets_NC.dtype)
    losses_NC = F.binary_cross_entropy_with_logits(logits_NC, targets_NC, reduction="none")
    return losses_NC.sum(dim=1) if settings.sum_classes else losses_NC.mean(dim=1)


def weigh_classes(
    settings: ObjectiveSettings, class_names: Sequence[str], train_labels_N: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the weight of an image of each class, shape (L,).

    `balanced` is n / (L count), as in scikit-learn: every class has the same total weight, and the mean over the n
    training images is 1. A class without images is not among the L, and has weight 1.

    Raises:
        DataError: the weights name an unknown class.
    """
    check_class_weights(settings.class_weights, class_names)
    weights_L = np.ones(len(class_names))
    if settings.class_weights is None:
        return weights_L
    if isinstance(settings.class_weights, str):
        counts_L = np.bincount(train_labels_N, minlength=len(class_names))
        present = counts_L > 0
        weights_L[present] = len(train_labels_N) / (present.sum() * counts_L[present])
        return weights_L
    for name, weight in settings.class_weights.items():
        weights_L[list(class_names).index(name)] = weight
    return weights_L
