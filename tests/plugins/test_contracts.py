"""Our own entries keep the contracts that other packages' must; entries that do not are named with the broken rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from bakeoff import registry
from bakeoff.catalog.averaging import AVERAGINGS, AveragingRecord
from bakeoff.catalog.initializers import INITIALIZERS, InitializerRecord
from bakeoff.catalog.losses import LOSSES, LossRecord
from bakeoff.catalog.mixing import MIXES, MixRecord
from bakeoff.catalog.networks.named import NETWORKS, NetworkRecord
from bakeoff.catalog.optimizers import OPTIMIZERS, OptimizerRecord
from bakeoff.data.registry import EmbeddedLayout, find_dataset
from bakeoff.driver.observer import OBSERVERS, ObserverRecord
from bakeoff.foreign.importers import IMPORTERS
from bakeoff.foreign.table import Importer
from bakeoff.report.sections import SECTIONS
from bakeoff.stats.metrics import METRICS, MetricRecord
from bakeoff.testing import (
    check_averaging,
    check_dataset,
    check_importer,
    check_initializer,
    check_loss,
    check_metric,
    check_mix,
    check_network,
    check_observer,
    check_optimizer,
    check_section,
    find_checks,
)

NAMED = [record for record in NETWORKS if record.name != "layers"]
DIGITS, SGD, FOCAL = find_dataset("digits"), OPTIMIZERS.find("sgd"), LOSSES.find("focal")


def by_name(records: Any) -> Any:
    return pytest.mark.parametrize("record", records, ids=lambda record: record.name)


@by_name(METRICS)
def test_metrics(record: MetricRecord) -> None:
    check_metric(record)


@by_name(LOSSES)
def test_losses(record: LossRecord) -> None:
    check_loss(record)


@by_name(INITIALIZERS)
def test_initializers(record: InitializerRecord) -> None:
    check_initializer(record)


@by_name(MIXES)
def test_mixes(record: MixRecord) -> None:
    check_mix(record)


@by_name(AVERAGINGS)
def test_averagings(record: AveragingRecord) -> None:
    check_averaging(record, record.settings.model_validate({"from_epoch": 3} if record.name == "swa" else {}))


def test_a_section() -> None:
    check_section(SECTIONS.find("cost"))


@by_name(NAMED)
def test_networks(record: NetworkRecord) -> None:
    narrow = {"width": 0.25} if "width" in record.settings.model_fields else {}
    check_network(record, record.settings.model_validate(narrow), (32, 32, 3))


@by_name(IMPORTERS)
def test_importers(record: Importer) -> None:
    check_importer(record)


@by_name([record for record in OBSERVERS if not record.target])
def test_observers(record: ObserverRecord) -> None:
    check_observer(record)


def test_embedded_dataset() -> None:
    check_dataset(DIGITS)


class Deaf:
    """An observer without methods."""


@pytest.mark.parametrize(
    ("check", "entry", "broken"),
    [
        (check_loss, replace(FOCAL, source=""), "focal: source must say where"),
        (check_loss, replace(FOCAL, name="other"), r"other: it must be the default of settings\.name"),
        (check_loss, replace(FOCAL, score="math:sqrt"), "focal: it is not registered"),
        (check_optimizer, replace(SGD, fused="never"), "sgd: it is not registered"),
        (check_initializer, replace(INITIALIZERS.find("dirac"), sample=len), "dirac: it is not registered"),
        (check_mix, replace(MIXES.find("mixup"), blend="math:sqrt"), "mixup: it is not registered"),
        (check_averaging, replace(AVERAGINGS.find("swa"), source=""), "swa: source must say where"),
        (check_averaging, AVERAGINGS.find("swa"), "swa: some settings have no default"),
        (check_section, replace(SECTIONS.find("cost"), title="Other"), "cost: it is not registered"),
        (find_checks, "no-such-package", "no-such-package is not installed"),
        (find_checks, "pytest", "pytest: it declares no entry point"),
        (check_observer, ObserverRecord("deaf", "hears nothing", Deaf), "deaf: it has no method"),
        (check_dataset, replace(DIGITS, class_names=("a", "a")), "digits: there must be two or more different classes"),
    ],
)
def test_what_is_not_kept_is_named(check: Callable[[Any], None], entry: Any, broken: str) -> None:
    with pytest.raises(AssertionError, match=broken):
        check(entry)


class Normed(torch.optim.SGD):
    """Steps of the gradient's direction: what a weight does depends on its neighbours."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad /= parameter.grad.norm()
        super().step()


def register_sgd(monkeypatch: pytest.MonkeyPatch, record: OptimizerRecord) -> OptimizerRecord:
    for module in ("bakeoff.testing.tensors", "bakeoff.engine.optim.make_optimizer"):
        monkeypatch.setattr(f"{module}.OPTIMIZERS", registry.Registry("optimizer", [record]))
    with pytest.raises(AssertionError, match=r"^sgd: elementwise"):
        check_optimizer(record)


def test_a_metric_that_reads_the_wrong_way_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    record = replace(METRICS.find("loss"), higher_is_better=True)
    monkeypatch.setattr("bakeoff.testing.records.METRICS", registry.Registry("metric", [record]))
    with pytest.raises(AssertionError, match=r"^loss: .*higher_is_better"):
        check_metric(record)


def fade(settings: Any, images_NCHW: Any, partners_NCHW: Any, share_N: Any, draws_ND: Any) -> Any:
    """Mix, but images of weight 1 too."""
    return (images_NCHW + partners_NCHW) / 2, share_N


def test_a_mix_of_unmixed_images_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    record = replace(MIXES.find("mixup"), blend=fade)
    monkeypatch.setattr("bakeoff.testing.tensors.MIXES", registry.Registry("mix", [record]))
    with pytest.raises(AssertionError, match=r"^mixup: an image of weight 1"):
        check_mix(record)


def test_an_initializer_with_randomness_of_its_own_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    record = replace(INITIALIZERS.find("dirac"), sample=lambda shape, rng: np.random.default_rng().random(shape))
    own = registry.Registry("initializer", [record])
    monkeypatch.setattr("bakeoff.testing.records.INITIALIZERS", own)
    monkeypatch.setattr("bakeoff.catalog.initializers.INITIALIZERS", own)
    with pytest.raises(AssertionError, match=r"^dirac: .*generator only"):
        check_initializer(record)


def test_an_embedded_dataset_of_other_pixels_is_found() -> None:
    layout = EmbeddedLayout(package="numpy", read=lambda split: (np.zeros((4, 8, 8, 1)), np.arange(4) % 2))
    record = replace(DIGITS, layout=layout, class_names=("a", "b"), num_train=4, num_test=4)
    with pytest.raises(AssertionError, match=r"^digits: .*uint8"):
        check_dataset(record)
