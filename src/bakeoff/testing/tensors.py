"""Checks of entries that use tensors: networks, optimizers, losses, augmentations, mixes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bakeoff.catalog.augmentation.records import AugmentationRecord, trace_augmentation
from bakeoff.catalog.augmentation.steps import AugmentationStep
from bakeoff.catalog.fields import OptimizerSettings
from bakeoff.catalog.initializers import InitializerChoice
from bakeoff.catalog.losses import LOSSES, LossRecord, LossSettings
from bakeoff.catalog.mixing import MIXES, MixRecord, MixSettings
from bakeoff.catalog.networks.layers import Dense
from bakeoff.catalog.networks.named import NetworkRecord
from bakeoff.catalog.networks.settings import NetworkSettings
from bakeoff.catalog.networks.shapes import Shape
from bakeoff.catalog.optimizers import OPTIMIZERS, OptimizerRecord
from bakeoff.engine.augment.apply import Augmenter
from bakeoff.engine.augment.mix_images import Blend
from bakeoff.engine.fused.build import FusedNetwork, initialize
from bakeoff.engine.optim.make_optimizer import make_optimizer, set_share
from bakeoff.engine.optim.stack_rules import Rule
from bakeoff.registry import bind
from bakeoff.testing.require import make_settings, name_entry, require, require_registered

_NUM_CLASSES = 5


def check_network(
    record: NetworkRecord, settings: NetworkSettings | None = None, image_shape_HWC: tuple[int, int, int] = (28, 28, 1)
) -> None:
    """Check that a network of layers has one output per class, accepts the images, and trains.

    Args:
        record: the entry.
        settings: by default the default ones.
        image_shape_HWC: shape of images that it accepts.

    Raises:
        AssertionError: a rule is violated; the message names it.
    """
    made = make_settings(record, settings)
    layers = made.list_layers(image_shape_HWC, _NUM_CLASSES)
    require(
        layers[-1] == Dense(units=_NUM_CLASSES),
        f"{record.name}: the last layer must be linear, with one output per class",
    )
    states = [initialize(layers, image_shape_HWC, InitializerChoice(), seed) for seed in (1, 2)]
    fused = FusedNetwork([layers, layers], states)
    images_NHWC = torch.rand((4, *image_shape_HWC), generator=torch.Generator().manual_seed(1))
    images_NCHW = images_NHWC.permute(0, 3, 1, 2)
    logits_KNL = fused(images_NCHW, fused.cast(), torch.Generator().manual_seed(1))
    require(
        logits_KNL.shape == (2, 4, _NUM_CLASSES), f"{record.name}: there must be one output per class for every image"
    )
    torch.autograd.backward(logits_KNL.square().sum())
    fused.share_gradients()
    gradients = [parameter.grad for parameter in fused.members[0].values()]
    require(
        all(gradient is not None and bool(torch.isfinite(gradient).all()) for gradient in gradients),
        f"{record.name}: every parameter must have a finite gradient",
    )


def check_optimizer(record: OptimizerRecord, settings: OptimizerSettings | None = None) -> None:
    """Check that an optimizer updates parameters, resumes from its state bit for bit, and does what its entry states.

    It must be registered, for example as an entry point of an installed package.

    Raises:
        AssertionError: a rule is violated; the message names it.
    """
    made = make_settings(record, settings)
    require_registered(OPTIMIZERS, record)
    require(made.arguments().get("lr") == made.learning_rate, f"{record.name}: arguments() returns the rate as lr")
    whole, cut = _make_parameters(), _make_parameters()
    with name_entry(record, "make"):
        optimizer, first = make_optimizer(made, {1.0: whole}), make_optimizer(made, {1.0: cut})
    _train(optimizer, whole, range(6))
    _train(first, cut, range(3))
    second = make_optimizer(made, {1.0: cut})
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    _train(second, cut, range(3, 6))
    require(_are_equal(whole, cut), f"{record.name}: resuming from its state_dict must give the same result")
    require(not _are_equal(whole, _make_parameters()), f"{record.name}: it does not move the parameters")
    require(all(bool(torch.isfinite(each).all()) for each in whole), f"{record.name}: it diverges in six steps")
    _check_share(record, made)
    if record.elementwise:
        _check_elementwise(record, made)
    if record.stack_rule:
        rule: Rule | None = bind(record.stack_rule)(made)
        if rule is not None:
            _check_rule(record, made, rule)


def _check_share(record: OptimizerRecord, settings: OptimizerSettings) -> None:
    shared, slow = _make_parameters(), _make_parameters()
    optimizer = make_optimizer(settings, {1.0: shared})
    set_share(optimizer, 0.25)
    _train(optimizer, shared, range(4))
    slower = settings.model_copy(update={"learning_rate": settings.learning_rate * 0.25})
    _train(make_optimizer(slower, {1.0: slow}), slow, range(4))
    require(_are_equal(shared, slow), f"{record.name}: a step must use the lr of its group")


def _check_elementwise(record: OptimizerRecord, settings: OptimizerSettings) -> None:
    alone = [_make_parameters(seed) for seed in (2, 3)]
    stacks = [nn.Parameter(torch.stack([a.detach(), b.detach()])) for a, b in zip(*alone, strict=True)]
    optimizers = [make_optimizer(settings, {1.0: own}) for own in alone]
    together = make_optimizer(settings, {1.0: stacks})
    for number in range(4):
        for stack, *own in zip(stacks, *alone, strict=True):
            stack.grad = _draw(stack.shape, number)
            for parameter, gradient in zip(own, stack.grad, strict=True):
                parameter.grad = gradient.clone()
        for optimizer in (together, *optimizers):
            optimizer.step()
    for stack, *own in zip(stacks, *alone, strict=True):
        close = torch.allclose(stack, torch.stack([parameter.detach() for parameter in own]), rtol=1e-5, atol=1e-7)
        require(close, f"{record.name}: elementwise, but a stack of members moves differently than each alone")


def _check_rule(record: OptimizerRecord, settings: OptimizerSettings, rule: Rule) -> None:
    (parameter, *_), num_members = _make_parameters(), 2
    stack = torch.stack([parameter.detach()] * num_members)
    hyper = {name: torch.full((num_members, 1, 1), float(getattr(settings, name))) for name in rule.hyper}
    kept = {name: torch.zeros_like(stack) for name in rule.tensors}
    kept |= {name: torch.zeros(num_members) for name in rule.counts}
    optimizer = make_optimizer(settings, {1.0: [parameter]})
    for number in range(6):
        parameter.grad = _draw(parameter.shape, number)
        gradients = torch.stack([parameter.grad] * num_members)
        rule.move(stack, gradients, torch.full((num_members, 1, 1), settings.learning_rate), hyper, kept)
        optimizer.step()
    close = torch.allclose(stack, parameter.detach().expand_as(stack), rtol=2e-5, atol=2e-6)
    require(close, f"{record.name}: its stack rule moves members differently than its optimizer")


def _make_parameters(seed: int = 2) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(4, 3, generator=generator)), nn.Parameter(torch.randn(4, generator=generator))]


def _train(optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter], steps: range) -> None:
    for number in steps:
        for parameter in parameters:
            parameter.grad = _draw(parameter.shape, number)
        optimizer.step()


def _draw(shape: Sequence[int], seed: int) -> Tensor:
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))


def _are_equal(ours: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(ours, others, strict=True))


def check_loss(record: LossRecord, settings: LossSettings | None = None) -> None:
    """Check that a loss is finite, independent of other images, differentiable, and lower for correct predictions.

    It must be registered, for example as an entry point of an installed package.

    Raises:
        AssertionError: a rule is violated; the message names it.
    """
    made = make_settings(record, settings)
    require_registered(LOSSES, record)
    labels_N = torch.arange(8) % _NUM_CLASSES
    logits_NC = (3 * _draw((8, _NUM_CLASSES), 1)).requires_grad_()
    with name_entry(record, "score"):
        function = bind(record.score)

        def score(settings: LossSettings, logits_NC: Tensor, labels_N: Tensor) -> Tensor:
            targets = torch.eye(_NUM_CLASSES)[labels_N] if record.is_soft else labels_N
            losses_N: Tensor = function(settings, logits_NC, targets)
            return losses_N

        losses_N: Tensor = score(made, logits_NC.log_softmax(1), labels_N)
    require(
        losses_N.shape == (8,) and losses_N.dtype == torch.float32,
        f"{record.name}: it must return one float32 number per image",
    )
    alone = torch.cat([score(made, logits_NC[n : n + 1].log_softmax(1), labels_N[n : n + 1]) for n in range(8)])
    require(
        torch.allclose(losses_N, alone, rtol=1e-5, atol=1e-7),
        f"{record.name}: an image's loss must not depend on other images",
    )
    torch.autograd.backward(losses_N.sum())
    require(logits_NC.grad is not None and bool(logits_NC.grad.abs().sum() > 0), f"{record.name}: it has no gradient")
    sure_NC = (60.0 * torch.eye(_NUM_CLASSES)[labels_N]).requires_grad_()
    right_N = score(made, sure_NC.log_softmax(1), labels_N)
    wrong_N = score(made, sure_NC.log_softmax(1), (labels_N + 1) % _NUM_CLASSES)
    (gradients_NC,) = torch.autograd.grad((right_N + wrong_N).sum(), sure_NC)
    finite = all(bool(torch.isfinite(each).all()) for each in (right_N, wrong_N, gradients_NC))
    require(finite, f"{record.name}: loss and gradient must be finite if a network is very certain")
    require(
        bool((right_N < wrong_N).all()), f"{record.name}: correct predictions must have a lower loss than wrong ones"
    )


def check_augmentation(
    record: AugmentationRecord,
    settings: AugmentationStep | None = None,
    image_shape_HWC: Shape = (32, 32, 3),
    statistics: Any = ([0.3, 0.4, 0.5], [0.2, 0.3, 0.4]),
) -> None:
    """Check that a step has the stated output shape, does not work in place, and depends only on seed, epoch and image.

    Args:
        record: the entry, which must be registered.
        settings: by default the default ones.
        image_shape_HWC: shape of images that it accepts.
        statistics: mean and standard deviation of each channel of the training images.

    Raises:
        AssertionError: a rule is violated; the message names it.
    """
    step, numbers = make_settings(record, settings), np.arange(100, 116)
    require(
        bool(record.train) == (record.num_draws > 0),
        f"{record.name}: num_draws must be above 0 if it has a train function, and only then",
    )
    pixels = np.random.default_rng(1).integers(0, 256, (16, *image_shape_HWC), dtype=np.uint8)
    before, shape = pixels.copy(), tuple(trace_augmentation((step,), image_shape_HWC))
    ours, other = Augmenter((step,), 3, statistics), Augmenter((step,), 4, statistics)
    trained, seen = ours.train(pixels, numbers, 2), ours.evaluate(pixels)
    for images in (trained, seen):
        require(images.dtype == torch.float32, f"{record.name}: it must return uint8 or float32")
        require(
            (*images.shape[2:], images.shape[1]) == shape,
            f"{record.name}: the shape must be {shape}, as resulting_shape says",
        )
        require(bool(torch.isfinite(images).all()), f"{record.name}: pixels must be finite")
    require((pixels == before).all(), f"{record.name}: it changes its images in place")
    require(
        torch.equal(trained, ours.train(pixels, numbers, 2)), f"{record.name}: the same draws give different results"
    )
    require(torch.equal(seen, other.evaluate(pixels)), f"{record.name}: evaluation depends on the seed")
    if not record.train:
        require(torch.equal(trained, seen), f"{record.name}: it draws nothing, but training differs from evaluation")
    part = ours.train(pixels[5:8], numbers[5:8], 2)
    require(torch.allclose(part, trained[5:8], rtol=0, atol=1e-6), f"{record.name}: an image depends on its neighbours")


def check_mix(
    record: MixRecord, settings: MixSettings | None = None, image_shape_HWC: tuple[int, int, int] = (12, 10, 3)
) -> None:
    """Check that a mix keeps shape and inputs, leaves images of weight 1 alone, and mixes each pair on its own.

    It must be registered, for example as an entry point of an installed package.

    Raises:
        AssertionError: a rule is violated; the message names it.
    """
    made = make_settings(record, settings)
    require_registered(MIXES, record)
    rng, (height, width, channels) = np.random.default_rng(1), image_shape_HWC
    images_NCHW, partners_NCHW = _draw((16, channels, height, width), 1), _draw((16, channels, height, width), 2)
    before = images_NCHW.clone(), partners_NCHW.clone()
    share_N, draws_ND = rng.random(16), rng.random((16, 2))
    share_N[::4] = 1.0
    with name_entry(record, "blend"):
        blend: Blend = bind(record.blend)
        mixed_NCHW, kept_N = blend(made, images_NCHW, partners_NCHW, share_N.copy(), draws_ND)
        part_NCHW, part_N = blend(made, images_NCHW[5:8], partners_NCHW[5:8], share_N[5:8], draws_ND[5:8])
    require(
        mixed_NCHW.shape == images_NCHW.shape and mixed_NCHW.dtype == images_NCHW.dtype,
        f"{record.name}: images must keep their shape and type",
    )
    require(bool(torch.isfinite(mixed_NCHW).all()), f"{record.name}: pixels must be finite")
    require(
        _are_equal((images_NCHW, partners_NCHW), before) and (share_N[::4] == 1).all(),
        f"{record.name}: it changes its images in place",
    )
    require(
        np.shape(kept_N) == (16,) and bool(((kept_N >= 0) & (kept_N <= 1)).all()),
        f"{record.name}: it must return one weight from 0 to 1 per image",
    )
    require(
        torch.allclose(mixed_NCHW[::4], images_NCHW[::4]) and (kept_N[::4] == 1).all(),
        f"{record.name}: an image of weight 1 is not mixed, so it must stay as it is",
    )
    require(not torch.equal(mixed_NCHW, images_NCHW), f"{record.name}: it mixes nothing")
    require(
        torch.allclose(part_NCHW, mixed_NCHW[5:8], rtol=0, atol=1e-6) and np.allclose(part_N, kept_N[5:8]),
        f"{record.name}: an image depends on others than its partner",
    )
