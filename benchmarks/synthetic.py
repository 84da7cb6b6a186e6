"""A made-up workspace: a study's ledger and stored predictions, generated from a seed as if it had run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bakeoff.data.registry import find_dataset
from bakeoff.driver.facts import ImageFacts
from bakeoff.driver.identity import IdentifiedTrial, identify
from bakeoff.driver.machine import describe_hardware, describe_versions
from bakeoff.ledger.store import Ledger, Placement
from bakeoff.messages import EpochDone, FinalTestDone, TrialDone, TrialFailed
from bakeoff.stats.metrics import classification_metrics
from bakeoff.study.plan import Plan, PlannedTrial, expand, study_id
from bakeoff.study.schema import Study
from bakeoff.workspace import Folders, save_predictions

DATASET = "fashion-mnist"
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop", "adagrad")
NETWORKS = ("lenet", "modnet1", "modnet2", "mlp", "cnn")
NUM_PARAMETERS = 61_706


def make_study(num_arms: int, num_blocks: int, num_replicates: int, num_epochs: int, *, vote: bool = False) -> Study:
    """Make a study with this many arms (optimizer x batch size), blocks (networks) and replicates."""
    arms = {
        f"{OPTIMIZERS[n % 5]}, batches of {2 ** (4 + n // 5)}": {
            "optimizer": OPTIMIZERS[n % 5],
            "batch_size": 2 ** (4 + n // 5),
        }
        for n in range(num_arms)
    }
    document: dict[str, Any] = {
        "name": "scale",
        "question": f"Which of {num_arms} optimizers and batch sizes serves {num_blocks} networks best?",
        "data": {"name": DATASET, "validation": 0.1},
        "recipe": {"epochs": num_epochs},
        "blocks": [{name: {"network": name} for name in NETWORKS[:num_blocks]}],
        "arms": [arms],
        "replicates": num_replicates,
        "numeric": "float32",
    }
    if vote:
        document["ensembles"] = {"all of them": {"of": "all", "by": "soft"}}
    return Study.model_validate(document)


def fill_workspace(root: Path, study: Study, seed: int = 0) -> Plan:
    """Write the ledger of a finished run of `study`, and every trial's predictions on both splits; return its plan."""
    plan, folders = expand(study), Folders(root)
    known_set = find_dataset(DATASET)
    facts = ImageFacts(
        shape_HWC=known_set.image_shape_HWC,
        class_names=known_set.class_names,
        num_images=known_set.num_train,
        fingerprint="0" * 64,
    )
    datasets = {block.data.source: facts for block in plan.blocks}
    known = [identify(planned, datasets, "float32") for planned in plan.trials]
    identity, ledger = study_id(study), Ledger(folders)
    placements = [
        Placement(each.trial_id, each.planned.block, each.planned.arm, each.planned.replicate) for each in known
    ]
    ledger.register_study(
        identity,
        name=study.name,
        document=study.model_dump(mode="json"),
        placements=placements,
        numeric="float32",
        command="bakeoff run scale.yaml",
        facts={block.label: facts.record() for block in plan.blocks},
    )
    final_test = ledger.open_final_test(identity, len(known))
    maker = _Maker(ledger, folders, plan, final_test, known_set.num_test, len(known_set.class_names), seed)
    with ledger.transaction():
        for each in known:
            maker.write(each)
    ledger.add_seconds(identity, 3600.0)
    ledger.close()
    return plan


class _Maker:
    """Makes up trials: better arms learn faster, replicates differ, one trial in a hundred fails."""

    def __init__(
        self,
        ledger: Ledger,
        folders: Folders,
        plan: Plan,
        final_test: int,
        num_images: int,
        num_classes: int,
        seed: int,
    ) -> None:
        self._ledger, self._folders, self._plan, self._final_test = ledger, folders, plan, final_test
        self._num_images, self._num_classes = num_images, num_classes
        self._rng = np.random.default_rng(seed)
        self._labels = self._rng.integers(0, num_classes, num_images)
        self._hardness = self._rng.normal(0, 1, num_images)
        self._machine = json.dumps({**describe_hardware(), **describe_versions()}, sort_keys=True)
        self._number = 0

    def write(self, known: IdentifiedTrial) -> None:
        """Write one trial: its epochs, its end, its predictions, its final test."""
        self._number += 1
        content, identity, planned = known.content, known.trial_id, known.planned
        if self._number % 100 == 0:
            failed = TrialFailed(trial_id=identity, reason="the loss became infinite in epoch 1", diverged=True)
            self._ledger.record_failed(failed, content, "cohort", self._machine)
            return
        self._write_epochs(identity, planned.recipe.epochs)
        scores = {split: self._write_predictions(identity, split, planned) for split in ("validation", "test")}
        done = TrialDone(
            trial_id=identity,
            num_epochs=planned.recipe.epochs,
            best_epoch=max(1, planned.recipe.epochs - 3),
            stop="epochs",
            seconds=100 + 10 * float(self._rng.random()),
            num_parameters=NUM_PARAMETERS,
            metrics={"train": scores["validation"], "validation": scores["validation"]},
        )
        self._ledger.record_done(done, content, "cohort", self._machine)
        final_test = FinalTestDone(trial_id=identity, metrics=scores["test"], fingerprint="1" * 64)
        self._ledger.record_final_test(self._final_test, final_test)

    def _write_epochs(self, identity: str, num_epochs: int) -> None:
        rise = 1 - np.exp(-np.arange(1, num_epochs + 1) / 12) + self._rng.normal(0, 0.01, num_epochs)
        for number, value in enumerate(np.clip(rise, 0.01, 0.99).tolist(), 1):
            names = ("accuracy", "macro_f1", "macro_precision", "macro_recall")
            self._ledger.record_epoch(
                EpochDone(
                    trial_id=identity,
                    epoch=number,
                    train={"loss": 2.3 * (1 - value), "accuracy": value},
                    validation={"loss": 2.5 * (1 - value), **dict.fromkeys(names, 0.9 * value)},
                    seconds=1.0,
                    images_per_second=54_000.0,
                )
            )

    def _write_predictions(self, identity: str, split: str, planned: PlannedTrial) -> dict[str, float]:
        probabilities = self._predict(list(self._plan.arms), planned)
        path = self._folders.predictions(identity, split)
        save_predictions(path, probabilities, self._labels, np.arange(self._num_images))
        return classification_metrics(probabilities, self._labels)

    def _predict(self, arms: Sequence[str], planned: PlannedTrial) -> npt.NDArray[np.float32]:
        """Return probabilities; later arms are correct more often."""
        logits = self._rng.normal(0, 1, (self._num_images, self._num_classes))
        skill = 3 + 0.1 * arms.index(planned.arm) + self._rng.normal(0, 0.05)
        logits[np.arange(self._num_images), self._labels] += skill + self._hardness
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
