"""The training and validation images of each member of a cohort, and the passes over them, on any device.

On a CPU all members belong to one replicate. On a GPU they may belong to several: each replicate has its own split and
order, and its members are adjacent.

Shape legend: K members, N images, L classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from bakeoff.data.store import Images
from bakeoff.engine.assembly import Assembly
from bakeoff.engine.batches import split_view
from bakeoff.engine.device_context import DeviceContext
from bakeoff.engine.epoch import Epoch, train_epoch
from bakeoff.engine.evaluate import predict, predict_batches
from bakeoff.engine.inputs import Indices, Inputs
from bakeoff.engine.member_trainer import MemberTrainer
from bakeoff.engine.objective import Objective
from bakeoff.engine.parts import Network
from bakeoff.engine.prepared import PreparedInputs
from bakeoff.engine.stepper import Replicates, Stepper
from bakeoff.messages import CohortTask, DataView, Member

Labels = npt.NDArray[np.int64]


class Splits:
    """The replicates of a task, numbered in the order of their first members, and the split of each.

    Args:
        task: the cohort.
        images: the images that all of them use.
        context: the device.

    Raises:
        DataError: a split cannot be made.
        ValueError: members of several replicates on a CPU, or with splits of unequal size.
    """

    def __init__(self, task: CohortTask, images: Images, context: DeviceContext) -> None:
        self._views = {member.trial_id: member.view or task.data for member in task.members}
        self.replicates: tuple[DataView, ...] = tuple(dict.fromkeys(self._views.values()))
        self._splits = [split_view(images, view) for view in self.replicates]
        sizes = {(len(train), len(validation)) for train, validation in self._splits}
        if len(sizes) > 1 or (len(self.replicates) > 1 and not context.prepared):
            raise ValueError("these replicates cannot be trained together: their splits differ in size")

    def number(self, member: Member) -> int:
        """Return the index of a member's replicate."""
        return self.replicates.index(self._views[member.trial_id])

    def seed(self, member: Member) -> int:
        """Return the seed of a member's replicate."""
        return self._views[member.trial_id].seed

    def train(self, number: int) -> Indices:
        """Return the indices of a replicate's training images."""
        return self._splits[number][0]

    def validation(self, number: int) -> Indices:
        """Return the indices of a replicate's validation images."""
        return self._splits[number][1]

    def sort(self, members: Sequence[Member]) -> list[Member]:
        """Return members sorted so that those of one replicate are adjacent, otherwise in their order."""
        return sorted(members, key=self.number)


class Session:
    """Some members of a cohort and their images.

    Args:
        splits: the splits of the whole cohort.
        assembly: what its members have in common.
        runners: the members, those of one replicate adjacent.
        labels: the labels of all images.
    """

    def __init__(self, splits: Splits, assembly: Assembly, runners: Sequence[MemberTrainer], labels: Labels) -> None:
        self._runners, self._labels, self._context = tuple(runners), labels, assembly.context
        numbers = [splits.number(runner.member) for runner in runners]
        used = sorted(set(numbers))
        recipes = [runner.member.recipe for runner in runners]
        self._of_K = tuple(used.index(number) for number in numbers)
        self._seeds = tuple(splits.replicates[number].seed for number in used)
        self._train = tuple(splits.train(number) for number in used)
        self._validation = tuple(splits.validation(number) for number in used)
        self._inputs: Inputs | PreparedInputs
        if self._context.prepared:
            self._inputs = assembly.prepare_inputs(recipes, self._of_K, self._seeds)
        else:
            self._inputs = assembly.make_inputs(recipes, self._seeds[0])

    def train_indices(self, k: int) -> Indices:
        """Return the indices of member k's training images."""
        return self._train[self._of_K[k]]

    def validation_indices(self, k: int) -> Indices:
        """Return the indices of member k's validation images."""
        return self._validation[self._of_K[k]]

    def train_labels(self) -> Labels | list[Labels]:
        """Return the training labels: one array for all members, or one per member if they differ."""
        if len(self._train) == 1:
            return self._labels[self._train[0]]
        return [self._labels[self.train_indices(k)] for k in range(len(self._runners))]

    def start(self, network: Network, objective: Objective, num_epochs: int) -> Callable[[int], Epoch]:
        """Return a function that trains these members for one epoch, given its number.

        Args:
            network: the network they are bound to.
            objective: their losses.
            num_epochs: maximum number of epochs left.
        """
        inputs = self._inputs
        if isinstance(inputs, Inputs):
            return lambda epoch: train_epoch(network, self._runners, inputs, objective, self._train[0], epoch)
        replicates = Replicates(self._seeds, self._train, self._of_K)
        stepper = Stepper(network, self._runners, inputs, objective, replicates, self._context, num_epochs)
        return stepper.train_epoch

    def predict_train(self, network: Network) -> npt.NDArray[np.float32]:
        """Return every member's probabilities_KNL for its training images."""
        return self._predict(network, self._train)

    def predict_validation(self, network: Network) -> npt.NDArray[np.float32]:
        """Return every member's probabilities_KNL for its validation images."""
        return self._predict(network, self._validation)

    def _predict(self, network: Network, orders: Sequence[Indices]) -> npt.NDArray[np.float32]:
        if isinstance(self._inputs, Inputs):
            return predict(network, self._inputs, orders[0])
        batches = self._inputs.evaluate(orders, self._context.evaluation_batch)
        return predict_batches(network, batches, self._inputs.mirrored)
