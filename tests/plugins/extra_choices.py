"""What another package could add, one entry of each kind: its author writes this file and names it in entry points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from bakeoff.catalog.augmentation.records import AugmentationRecord
from bakeoff.catalog.augmentation.steps import AugmentationStep
from bakeoff.catalog.fields import OptimizerSettings
from bakeoff.catalog.losses import LossRecord, LossSettings
from bakeoff.catalog.networks.layers import AnyLayer, Conv, Dense
from bakeoff.catalog.networks.named import NetworkRecord
from bakeoff.catalog.networks.settings import LayerNetwork
from bakeoff.catalog.optimizers import OptimizerRecord
from bakeoff.catalog.schedules import Progress, ScheduleRecord, ScheduleSettings
from bakeoff.data.registry import DatasetRecord, EmbeddedLayout, Split
from bakeoff.driver.observer import ObserverRecord
from bakeoff.search.proposal import Proposal, Score
from bakeoff.search.proposers import Setting
from bakeoff.stats.metrics import MetricRecord, Predictions
from bakeoff.study.search import SearchRecord
from bakeoff.study.search_settings import SearchSettings


class Tiny(LayerNetwork):
    """One convolution and one dense layer."""

    name: Literal["tiny"] = "tiny"
    width: int = Field(default=4, ge=1, description="Filters.")

    def expand(self, num_classes: int) -> tuple[AnyLayer, ...]:
        return (Conv(filters=self.width, kernel=3, activation="relu"), Dense(units=8, activation="relu"))


NETWORK = NetworkRecord("tiny", "one convolution, one dense layer", "this package", Tiny)


class SignSGD(OptimizerSettings):
    """Steps of one size, along the sign of the gradient."""

    name: Literal["sign_sgd"] = "sign_sgd"
    learning_rate: float = Field(default=0.002, gt=0, description="Step size.")


def make_sign_sgd(parameters: Any, **settings: Any) -> Any:
    import torch

    class Sign(torch.optim.Optimizer):
        def __init__(self, parameters: Any, lr: float) -> None:
            super().__init__(parameters, {"lr": lr})

        @torch.no_grad()
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.sub_(group["lr"] * parameter.grad.sign())

    return Sign(parameters, **settings)


OPTIMIZER = OptimizerRecord("sign_sgd", "steps along the gradient's sign", "this package", SignSGD, make=make_sign_sgd)


class Linear(ScheduleSettings):
    """The rate falls along a straight line."""

    name: Literal["linear"] = "linear"

    def share(self, progress: Progress, num_epochs: int) -> float:
        return max(0.0, 1 - progress.epochs / num_epochs)


SCHEDULE = ScheduleRecord("linear", "the rate falls along a straight line", "this package", Linear)


class Brier(LossSettings):
    """The squared error of the probabilities."""

    name: Literal["brier"] = "brier"


def score_brier(settings: Brier, log_probabilities_NC: Any, labels_N: Any) -> Any:
    import torch.nn.functional as F

    right_NC = F.one_hot(labels_N, log_probabilities_NC.shape[1])
    return (log_probabilities_NC.exp() - right_NC).square().sum(1)


LOSS = LossRecord("brier", "squared error of the probabilities", "Brier (1950)", Brier, score=score_brier)


class Shade(AugmentationStep):
    """Images darkened by a share drawn for each."""

    name: Literal["shade"] = "shade"


def shade(settings: Shade, images_NHWC: Any, draws_ND: Any) -> Any:
    import torch

    from bakeoff.engine.augment.geometry import scale_to_unit

    images = scale_to_unit(images_NHWC)
    return images * torch.from_numpy(0.5 + 0.5 * draws_ND[:, 0]).to(images).view(-1, 1, 1, 1)


AUGMENTATION = AugmentationRecord("shade", "darkens each image", "this package", Shade, train=shade, num_draws=1)


def measure_brier(predictions: Predictions) -> float:
    right_NC = np.eye(predictions.probabilities_NC.shape[1])[predictions.labels_N]
    return float(np.square(predictions.probabilities_NC - right_NC).sum(axis=1).mean())


METRIC = MetricRecord(
    name="brier_score",
    label="Brier score",
    summary="mean squared error of the probabilities",
    higher_is_better=False,
    is_share=False,
    source="Brier (1950)",
    compute=measure_brier,
    chance=lambda num_classes: 1 - 1 / num_classes,
)


def read_stripes(split: Split) -> tuple[Any, Any]:
    """Draw images of 8x8 with a bright column (class 0) or a bright row (class 1)."""
    rng, num_images = np.random.default_rng(split == "test"), 80 if split == "train" else 40
    pixels, labels = rng.integers(0, 120, (num_images, 8, 8, 1)), np.arange(num_images) % 2
    for image, label in zip(pixels, labels, strict=True):
        (image if label else image.swapaxes(0, 1))[rng.integers(8)] += 100
    return pixels.astype(np.uint8), labels


DATASET = DatasetRecord(
    name="stripes",
    summary="drawn rows and columns",
    source="this package",
    image_shape_HWC=(8, 8, 1),
    class_names=("column", "row"),
    num_train=80,
    num_test=40,
    layout=EmbeddedLayout(package="extra-choices", read=read_stripes),
)


class Ladder(SearchSettings):
    """Learning rates from large to small."""

    name: Literal["ladder"] = "ladder"
    rungs: int = Field(default=2, ge=1, description="Rates that are tried.")

    @property
    def most_candidates(self) -> int:
        return self.rungs


class LadderProposer:
    def __init__(self, search: Ladder, setting: Setting) -> None:
        rates = [0.01 / 2**rung for rung in range(search.rungs)]
        self._group = [Proposal(number=n, changes={"optimizer.learning_rate": rate}) for n, rate in enumerate(rates)]

    def propose(self) -> Sequence[Proposal]:
        group, self._group = self._group, []
        return group

    def judge(self, score: Score) -> None:
        """Nothing is learned."""


def refuse_baseline(search: Ladder, setting: Setting, budget: int) -> LadderProposer:
    raise AssertionError("no baseline was asked for")


SEARCH = SearchRecord(
    "ladder",
    "learning rates, halved each time",
    "this package",
    Ladder,
    make=LadderProposer,
    make_baseline=refuse_baseline,
)


class Diary:
    """Writes down what the run says, and how its trials ended."""

    def start(self, **facts: Any) -> None:
        self._write("start")

    def search_seen(self, searches: Any) -> None: ...

    def cohort_started(self, label: str, num_members: int) -> None: ...

    def epoch_done(self, label: str, **facts: Any) -> None: ...

    def trial_seen(self, trial: Any, *, state: str, epoch: int, validation: Mapping[str, float]) -> None:
        self._write(f"{trial.arm} {state}")

    def trial_done(self, **facts: Any) -> None: ...

    def cohort_done(self, label: str) -> None: ...

    def message(self, text: str) -> None:
        self._write(text)

    def _write(self, text: str) -> None:
        with Path("diary.txt").open("a", encoding="utf-8") as file:
            print(text, file=file)


OBSERVER = ObserverRecord("diary", "writes diary.txt in the present folder", Diary)
