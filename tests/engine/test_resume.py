"""A cohort that is interrupted anywhere and goes on: the same numbers, bit for bit, and nothing trained twice."""

from __future__ import annotations

import dataclasses
import errno
import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from bakeoff.catalog.networks.layers import Conv, Dense, Dropout, Pool
from bakeoff.catalog.networks.named import Layers
from bakeoff.catalog.optimizers import SGD, Adagrad, Adam, AnyOptimizer, RMSprop
from bakeoff.catalog.recipe import EarlyStopping, Recipe
from bakeoff.data.store import Images
from bakeoff.engine import cohort, session
from bakeoff.engine.checkpoint import load_checkpoint
from bakeoff.engine.checkpoint_file import DamagedCheckpoint
from bakeoff.engine.cohort import train_cohort
from bakeoff.errors import StorageError
from bakeoff.messages import CohortTask, EpochDone, Event, Notice, TaskDone, TrialDone, TrialFailed, TrialPaused
from bakeoff.workspace import Folders

MakeTask = Callable[..., CohortTask]
Tabulate = Callable[[Sequence[Event]], dict[Any, dict[str, Any]]]


class Interrupted(BaseException):
    """Stands for a kill: no `except Exception` may catch it."""


def _make_recipe(optimizer: AnyOptimizer, epochs: int, early_stopping: EarlyStopping | None = None) -> Recipe:
    layers = (
        Conv(filters=5, kernel=3, padding="same", activation="relu"),
        Pool(),
        Dropout(rate=0.2),
        Conv(filters=6, kernel=2, activation="tanh"),
        Dense(units=120, activation="relu"),
        Dense(units=84, activation="relu"),
        Dropout(rate=0.3),
    )
    return Recipe(network=Layers(layers=layers), optimizer=optimizer, epochs=epochs, early_stopping=early_stopping)


# Two end together in epoch 2, one stops in epoch 3 and keeps epoch 1's weights, one diverges, two end together last.
RECIPES = {
    "short": _make_recipe(Adam(learning_rate=0.003), 2),
    "short too": _make_recipe(SGD(learning_rate=0.1, momentum=0.9), 2),
    "stops": _make_recipe(SGD(learning_rate=0.5, momentum=0.5), 6, EarlyStopping(patience=2, min_delta=10.0)),
    "wild": _make_recipe(SGD(learning_rate=1e38), 5),
    "long": _make_recipe(RMSprop(learning_rate=0.002, momentum=0.5), 5, EarlyStopping(patience=9)),
    "long too": _make_recipe(Adagrad(learning_rate=0.02), 5),
}


@dataclasses.dataclass
class Counter:
    """How many epochs were trained, and by how many members."""

    sizes: list[int] = dataclasses.field(default_factory=list)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Counter:
    counter, real = Counter(), session.train_epoch

    def count(network: Any, *rest: Any) -> Any:
        measured = real(network, *rest)
        counter.sizes.append(network.num_members)
        return measured

    monkeypatch.setattr(session, "train_epoch", count)
    return counter


def _train(task: CohortTask, images: Images, root: Path, num_events: int | None = None) -> list[Event]:
    """Train and return the events that reached the other side; the connection breaks after `num_events`."""
    received: list[Event] = []

    def receive(event: Event) -> None:
        if len(received) == num_events:
            raise Interrupted
        received.append(event)

    try:
        train_cohort(task, images, root, receive)
    except Interrupted:
        assert num_events is not None
    return received


def _read_files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted((root / "trials").rglob("*"))
        if path.is_file()
    }


def _advance(task: CohortTask, received: Sequence[Event]) -> CohortTask:
    """Make the task of the next run, as a driver does that has written down what it received."""
    ended = frozenset(event.trial_id for event in received if isinstance(event, TrialDone | TrialFailed))
    members = tuple(member for member in task.members if member.trial_id not in ended)
    return dataclasses.replace(task, members=members, finished=ended)


@pytest.fixture
def _show_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make what rounding does on some machines, to depend on how many are evaluated together, plain on all."""
    real = session.predict

    def predict(network: Any, *rest: Any) -> Any:
        return real(network, *rest) * (1 - network.num_members / 1024)

    monkeypatch.setattr(session, "predict", predict)


@pytest.mark.usefixtures("_show_rounding")
@pytest.mark.parametrize(
    ("numeric", "drops_ended", "in_turn"),
    [("float32", False, False), ("bfloat16", True, False), ("bfloat16", False, True)],
)
def test_an_interruption_at_any_event_changes_no_digit(
    numeric: str,
    drops_ended: bool,
    in_turn: bool,
    images: Images,
    make_task: MakeTask,
    tabulate: Tabulate,
    trained: Counter,
    tmp_path: Path,
) -> None:
    task = make_task(RECIPES, numeric=numeric, in_turn=in_turn)
    whole = _train(task, images, tmp_path / "whole")
    sizes = list(trained.sizes)
    rows, files = tabulate(whole), _read_files(tmp_path / "whole")
    assert len(rows) == len(whole) - 1
    assert sizes == [6, 5, 3, 2, 2]
    for num_events in range(len(whole)):
        trained.sizes.clear()
        root = tmp_path / str(num_events)
        before = _train(task, images, root, num_events)
        rest = _advance(task, before) if drops_ended else task
        after = _train(rest, images, root)
        assert before == whole[:num_events] or tabulate(before) == tabulate(whole[:num_events])
        assert tabulate([*before, *after]) == rows, f"interrupted after {num_events} events"
        assert _read_files(root) == files
        assert trained.sizes == sizes, "no epoch is trained again"
        assert after[-1] == TaskDone(task_id="cohort")


def test_what_is_read_back_is_marked_and_outcomes_are_repeated(
    images: Images, make_task: MakeTask, tmp_path: Path
) -> None:
    task = make_task(RECIPES)
    whole = _train(task, images, tmp_path / "whole")
    # The connection breaks after the epochs, before the outcomes, of epoch 3.
    third = max(number for number, event in enumerate(whole) if isinstance(event, EpochDone) and event.epoch == 3)
    before = _train(task, images, tmp_path, third + 1)
    again = _train(task, images, tmp_path)
    epochs = [event for event in again if isinstance(event, EpochDone)]
    assert {event.epoch for event in epochs if event.replayed} == {1, 2, 3}
    assert {event.epoch for event in epochs if not event.replayed} == {4, 5}
    ended = [event.trial_id for event in again if isinstance(event, TrialDone | TrialFailed)]
    assert sorted(ended) == sorted(RECIPES)
    for outcome in [event for event in before if isinstance(event, TrialDone | TrialFailed)]:
        assert outcome in again


def test_a_kill_before_the_checkpoint_trains_that_epoch_once_more(
    images: Images,
    make_task: MakeTask,
    tabulate: Tabulate,
    trained: Counter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = make_task(RECIPES)
    rows = tabulate(_train(task, images, tmp_path / "whole"))
    trained.sizes.clear()
    real = cohort.save_checkpoint

    def die(path: Path, epoch: int, runners: Any) -> None:
        if epoch == 3:
            raise Interrupted
        real(path, epoch, runners)

    monkeypatch.setattr(cohort, "save_checkpoint", die)
    before = _train_until_interrupted(task, images, tmp_path / "cut")
    monkeypatch.setattr(cohort, "save_checkpoint", real)
    assert not any(isinstance(event, EpochDone) and event.epoch == 3 for event in before), "not safe, so not reported"
    after = _train(task, images, tmp_path / "cut")
    assert tabulate([*before, *after]) == rows
    assert trained.sizes == [6, 5, 3, 3, 2, 2]


def _train_until_interrupted(task: CohortTask, images: Images, root: Path) -> list[Event]:
    events: list[Event] = []
    with pytest.raises(Interrupted):
        train_cohort(task, images, root, events.append)
    return events


@pytest.mark.parametrize("file", ["weights", "predictions"])
def test_a_kill_while_results_are_written(
    file: str, images: Images, make_task: MakeTask, tabulate: Tabulate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(RECIPES)
    rows = tabulate(_train(task, images, tmp_path / "whole"))
    name = {"weights": "save_file", "predictions": "save_predictions"}[file]
    real, calls = getattr(cohort, name), []

    def die_at_the_second(*arguments: Any, **metadata: object) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise Interrupted
        real(*arguments, **metadata)

    monkeypatch.setattr(cohort, name, die_at_the_second)
    before = _train_until_interrupted(task, images, tmp_path / "cut")
    after = _train(_advance(task, before), images, tmp_path / "cut")
    assert tabulate([*before, *after]) == rows
    assert _read_files(tmp_path / "cut") == _read_files(tmp_path / "whole")


def test_finished_members_are_left_out(images: Images, make_task: MakeTask, trained: Counter, tmp_path: Path) -> None:
    recipes = {name: RECIPES[name] for name in ("long", "long too")}
    _train(make_task(recipes), images, tmp_path, 4)  # epochs 1 and 2 of both; epoch 3 is safe, but not reported
    trained.sizes.clear()
    after = _train(make_task(recipes, finished=["long too"]), images, tmp_path)
    assert trained.sizes == [1, 1]
    assert [event.trial_id for event in after if isinstance(event, TrialDone)] == ["long"]
    assert not Folders(tmp_path).weights("long too").exists()


def test_nothing_to_do_is_done_at_once(images: Images, make_task: MakeTask, trained: Counter, tmp_path: Path) -> None:
    recipes = {name: RECIPES[name] for name in ("short", "wild")}
    whole = _train(make_task(recipes), images, tmp_path)
    trained.sizes.clear()
    again = _train(make_task(recipes), images, tmp_path)
    assert trained.sizes == []
    outcomes = [event for event in whole if isinstance(event, TrialDone | TrialFailed)]
    assert len(outcomes) == 2
    assert all(outcome in again for outcome in outcomes)
    assert again[-1] == TaskDone(task_id="cohort")


def test_a_member_goes_on_alone_from_its_cohorts_checkpoint(
    images: Images, make_task: MakeTask, tabulate: Tabulate, trained: Counter, tmp_path: Path
) -> None:
    whole = _train(make_task(RECIPES), images, tmp_path / "whole")
    second = [number for number, event in enumerate(whole) if isinstance(event, EpochDone) and event.epoch == 2]
    before = _train(make_task(RECIPES), images, tmp_path / "cut", second[-1] + 1)
    shared = Folders(tmp_path / "cut").checkpoint("cohort").read_bytes()
    trained.sizes.clear()
    alone = make_task({"long": RECIPES["long"]}, cohort_id="alone", resume_from=("cohort",))
    after = _train(alone, images, tmp_path / "cut")
    assert trained.sizes == [1, 1, 1]
    assert {event.trial_id for event in after if isinstance(event, EpochDone)} == {"long"}
    assert Folders(tmp_path / "cut").checkpoint("alone").exists()
    assert Folders(tmp_path / "cut").checkpoint("cohort").read_bytes() == shared
    rows, expected = tabulate([*before, *after]), tabulate(whole)
    for epoch in range(1, 6):
        # Alone from epoch 3 on: to the rounding that the design allows.
        assert rows["long", epoch]["train"] == pytest.approx(expected["long", epoch]["train"], rel=1e-4)
    # Its own checkpoint comes before the shared one.
    trained.sizes.clear()
    _train(alone, images, tmp_path / "cut")
    assert trained.sizes == []


def test_a_checkpoint_that_lacks_a_member_is_not_used(
    images: Images, make_task: MakeTask, tabulate: Tabulate, trained: Counter, tmp_path: Path
) -> None:
    recipes = {name: RECIPES[name] for name in ("short", "long")}
    rows = tabulate(_train(make_task(recipes), images, tmp_path / "whole"))
    _train(make_task({"short": RECIPES["short"]}), images, tmp_path / "lacking", 1)
    trained.sizes.clear()
    assert tabulate(_train(make_task(recipes), images, tmp_path / "lacking")) == rows
    assert trained.sizes == [2, 2, 1, 1, 1]


def test_without_a_checkpoint_to_resume_from_it_starts_afresh(
    images: Images, make_task: MakeTask, trained: Counter, tmp_path: Path
) -> None:
    _train(make_task({"short": RECIPES["short"]}, resume_from=("never was",)), images, tmp_path)
    assert trained.sizes == [1, 1]


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut_in_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _fill_with_text(path: Path) -> None:
    path.write_text("not a checkpoint\n" * 100)


def _fill_with_zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _store_other_things(path: Path) -> None:
    save_file({"0": np.zeros(3)}, path, {"content": "[1, 2]", "crc32": "0"})


def _store_an_older_format(path: Path) -> None:
    text = '{"format": 1, "epoch": 1, "members": {}}'
    save_file({}, path, {"content": text, "crc32": str(zlib.crc32(text.encode()))})


def _store_code(path: Path) -> None:
    torch.save({"format": 1, "epoch": 1, "members": _PathOpener()}, path)


def _make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


class _PathOpener:
    """Would open a file when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("/dev/null",))


DAMAGES = [
    _empty,
    _cut_in_half,
    _fill_with_text,
    _fill_with_zeros,
    _store_other_things,
    _store_an_older_format,
    _store_code,
    _make_folder,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_put_aside_and_its_trials_start_anew(
    damage: Callable[[Path], None], images: Images, make_task: MakeTask, tabulate: Tabulate, tmp_path: Path
) -> None:
    task = make_task({"short": RECIPES["short"]})
    whole = tabulate(_train(task, images, tmp_path / "whole"))
    _train(task, images, tmp_path / "cut", 1)
    path = Folders(tmp_path / "cut").checkpoint("cohort")
    damage(path)
    notice, *events = _train(task, images, tmp_path / "cut")
    assert isinstance(notice, Notice)
    assert notice.text.startswith(f"{path}: ")
    assert f" {path.name}.damaged" in notice.text
    assert "\n" not in notice.text
    assert tabulate(events) == whole
    assert path.with_name(f"{path.name}.damaged").exists()


def test_one_flipped_bit_is_found_wherever_it_is(images: Images, make_task: MakeTask, tmp_path: Path) -> None:
    _train(make_task({"short": RECIPES["short"]}), images, tmp_path, 1)
    path = Folders(tmp_path).checkpoint("cohort")
    whole = path.read_bytes()
    assert load_checkpoint(path) is not None
    for place in np.random.default_rng(0).integers(len(whole), size=60):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(place) % 8
        path.write_bytes(flipped)
        try:
            found = load_checkpoint(path)
        except DamagedCheckpoint:
            continue
        path.write_bytes(whole)
        assert repr(found) == repr(load_checkpoint(path)), f"a flipped bit in byte {place} went unseen"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_a_good_checkpoint_that_cannot_be_read_is_not_trained_again(
    number: int, images: Images, make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task({"short": RECIPES["short"]})
    _train(task, images, tmp_path, 1)
    path = Folders(tmp_path).checkpoint("cohort")
    whole = path.read_bytes()

    def refuse(*_: object) -> bytes:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(StorageError) as raised:
            _train(task, images, tmp_path)
    assert str(raised.value).startswith(f"{path}: ")
    assert str(raised.value).endswith(f"{os.strerror(number)}.")
    assert path.read_bytes() == whole
    assert list(path.parent.iterdir()) == [path]


# --- pauses ----------------------------------------------------------------------------------------------------------

GOING_ON = {name: RECIPES[name] for name in ("long", "long too")}


def _paused(events: Sequence[Event]) -> list[tuple[str, int]]:
    return [(event.trial_id, event.epoch) for event in events if isinstance(event, TrialPaused)]


def test_a_cohort_pauses_where_it_is_told_and_reports_who_is_still_open(
    images: Images, make_task: MakeTask, trained: Counter, tmp_path: Path
) -> None:
    events = _train(make_task(RECIPES, until=3), images, tmp_path)
    assert trained.sizes == [6, 5, 3]
    assert _paused(events) == [("long", 3), ("long too", 3)]
    assert events[-1] == TaskDone(task_id="cohort")
    ended = [event.trial_id for event in events if isinstance(event, TrialDone | TrialFailed)]
    assert set(ended) == {"short", "short too", "stops", "wild"}


def test_going_on_from_a_pause_changes_no_digit(
    images: Images, make_task: MakeTask, tabulate: Tabulate, trained: Counter, tmp_path: Path
) -> None:
    whole = tabulate(_train(make_task(GOING_ON), images, tmp_path / "whole"))
    first = _train(make_task(GOING_ON, until=2), images, tmp_path / "cut")
    second = _train(make_task(GOING_ON, cohort_id="second", resume_from=("cohort",), until=4), images, tmp_path / "cut")
    last = _train(make_task(GOING_ON, cohort_id="third", resume_from=("second",)), images, tmp_path / "cut")
    assert trained.sizes == [2] * 10
    rows = tabulate([event for event in (*first, *second, *last) if not isinstance(event, TrialPaused)])
    assert {key: {**row, "replayed": False} if "replayed" in row else row for key, row in rows.items()} == whole
    assert _read_files(tmp_path / "cut") == _read_files(tmp_path / "whole")


def test_a_pause_is_reported_again_without_training(
    images: Images, make_task: MakeTask, trained: Counter, tmp_path: Path
) -> None:
    _train(make_task(GOING_ON, until=2), images, tmp_path)
    trained.sizes.clear()
    again = _train(make_task(GOING_ON, until=2), images, tmp_path)
    assert trained.sizes == []
    assert _paused(again) == [("long", 2), ("long too", 2)]
    assert all(event.replayed for event in again if isinstance(event, EpochDone))


def test_members_of_several_paused_cohorts_go_on_together(
    images: Images, make_task: MakeTask, trained: Counter, tmp_path: Path
) -> None:
    for name, recipe in GOING_ON.items():
        _train(make_task({name: recipe}, cohort_id=name, until=2), images, tmp_path)
    trained.sizes.clear()
    both = make_task(GOING_ON, cohort_id="both", resume_from=tuple(GOING_ON))
    assert {event.trial_id for event in _train(both, images, tmp_path) if isinstance(event, TrialDone)} == set(GOING_ON)
    assert trained.sizes == [2, 2, 2]


def test_members_paused_at_different_epochs_start_together_afresh(
    images: Images, make_task: MakeTask, trained: Counter, tmp_path: Path
) -> None:
    for (name, recipe), until in zip(GOING_ON.items(), (1, 2), strict=True):
        _train(make_task({name: recipe}, cohort_id=name, until=until), images, tmp_path)
    trained.sizes.clear()
    _train(make_task(GOING_ON, cohort_id="both", resume_from=tuple(GOING_ON)), images, tmp_path)
    assert trained.sizes == [2] * 5


def test_a_pause_at_once_leaves_a_checkpoint_of_its_own(
    images: Images, make_task: MakeTask, trained: Counter, tmp_path: Path
) -> None:
    _train(make_task(GOING_ON, until=2), images, tmp_path)
    trained.sizes.clear()
    part = make_task({"long": RECIPES["long"]}, cohort_id="part", resume_from=("cohort",), until=2)
    assert _paused(_train(part, images, tmp_path)) == [("long", 2)]
    assert trained.sizes == []
    Folders(tmp_path).checkpoint("cohort").unlink()
    _train(make_task({"long": RECIPES["long"]}, cohort_id="rest", resume_from=("part",)), images, tmp_path)
    assert trained.sizes == [1, 1, 1]
