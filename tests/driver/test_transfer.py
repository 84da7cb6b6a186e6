"""What a transfer names is made definite before trials get their ids: a trial of the workspace, or a file's content."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from bakeoff.catalog.transfer import FileWeights, TrialWeights
from bakeoff.data.source import DataSource
from bakeoff.driver.facts import ImageFacts
from bakeoff.driver.identity import identify
from bakeoff.driver.transfer import Resolver
from bakeoff.errors import WorkspaceError
from bakeoff.ledger.store import Ledger, Placement
from bakeoff.messages import TrialDone, TrialFailed
from bakeoff.study.plan import Plan, PlannedTrial
from bakeoff.workspace import Folders

TENSORS = save({"w": np.zeros(2, np.float32)})
MakePlan = Callable[..., Plan]
Resolve = Callable[..., tuple[PlannedTrial, ...]]


def _resolve(plan: Plan, ledger: Ledger, folders: Folders) -> tuple[PlannedTrial, ...]:
    resolver = Resolver(plan.study.name, ledger.connection, folders, None)
    return tuple(resolver.resolve(trial) for trial in plan.trials)


@pytest.fixture
def resolve(ledger: Ledger, folders: Folders, make_plan: MakePlan) -> Resolve:
    """Resolve the transfers of a plan whose arms all begin with `weights`."""

    def make(weights: Any, **fields: Any) -> tuple[PlannedTrial, ...]:
        plan = make_plan(fields.pop("arms", 1), recipe={"transfer": {"weights": weights, "freeze": 1}}, **fields)
        return _resolve(plan, ledger, folders)

    return make


@pytest.fixture
def earlier(ledger: Ledger, folders: Folders) -> Callable[..., None]:
    """Put a study into the ledger: blocks a and b (or those given), arms x and y, 2 replicates, all done."""

    def make(name: str = "before", blocks: tuple[str, ...] = ("a", "b"), state: str = "done") -> None:
        placements = [
            Placement(name_trial(block, arm, replicate), block, arm, replicate)
            for block in blocks
            for replicate in range(2)
            for arm in ("x", "y")
        ]
        ledger.register_study(name, name=name, document={}, placements=placements, numeric="float32", command="")
        for placement in placements:
            finish(ledger, folders, placement.trial_id, state)

    return make


def name_trial(block: str, arm: str, replicate: int) -> str:
    return hashlib.sha256(f"{block} {arm} {replicate}".encode()).hexdigest()[:24]


def finish(
    ledger: Ledger, folders: Folders, trial_id: str, state: str = "done", content: Mapping[str, Any] | None = None
) -> None:
    if state == "done":
        done = TrialDone(
            trial_id=trial_id,
            num_epochs=1,
            best_epoch=1,
            stop="epochs",
            seconds=1.0,
            num_parameters=1,
            metrics={"train": {}, "validation": {}},
        )
        ledger.record_done(done, content or {}, "cohort", "{}")
        folders.weights(trial_id).parent.mkdir(parents=True)
        folders.weights(trial_id).write_bytes(b"weights")
    elif state:
        failed = TrialFailed(trial_id=trial_id, reason="no luck", diverged=state == "diverged")
        ledger.record_failed(failed, {}, "cohort", "{}")


def weights_of(planned: PlannedTrial) -> Any:
    assert planned.recipe.transfer is not None
    return planned.recipe.transfer.weights


def refuse(resolve: Resolve, weights: Any, **fields: Any) -> str:
    with pytest.raises(WorkspaceError) as caught:
        resolve(weights, **fields)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("recipe", [{}, {"transfer": None}, {"transfer": {"freeze": 2}}])
def test_what_names_no_weights_stays_as_it_is(
    ledger: Ledger, folders: Folders, make_plan: MakePlan, recipe: dict[str, Any]
) -> None:
    plan = make_plan(recipe=recipe)
    assert _resolve(plan, ledger, folders) == plan.trials


def test_an_arm_becomes_the_trial_of_the_same_replicate(resolve: Resolve, earlier: Callable[..., None]) -> None:
    earlier()
    found = resolve({"study": "before", "arm": "y", "block": "b"}, replicates=2)
    assert [weights_of(each) for each in found] == [
        TrialWeights(trial=name_trial("b", "y", 0)),
        TrialWeights(trial=name_trial("b", "y", 1)),
    ]
    assert {each.recipe.transfer.freeze for each in found if each.recipe.transfer} == {1}


def test_one_block_needs_no_name(resolve: Resolve, earlier: Callable[..., None]) -> None:
    earlier(blocks=("only",))
    (found,) = resolve({"study": "before", "arm": "x"})
    assert weights_of(found) == TrialWeights(trial=name_trial("only", "x", 0))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"study": "befor", "arm": "x"}, "study 'befor' is not in this workspace. It contains: before."),
        ({"study": "before", "arm": "x"}, "study 'before' has several blocks: name one. It has: a, b."),
        ({"study": "before", "arm": "x", "block": "c"}, "no block 'c' in study 'before'. It has: a, b."),
        ({"study": "before", "arm": "z", "block": "a"}, "no arm 'z' in study 'before', block 'a'. It has: x, y."),
        ({"trial": "abcdef"}, "no trial abcdef in the ledger of"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(
    resolve: Resolve, earlier: Callable[..., None], weights: dict[str, str], message: str
) -> None:
    earlier()
    assert message in refuse(resolve, weights)


def test_replicates_must_be_there(resolve: Resolve, earlier: Callable[..., None]) -> None:
    earlier()
    message = refuse(resolve, {"study": "before", "arm": "x", "block": "a"}, replicates=3)
    assert "no replicate 3" in message
    assert "replicates 1, 2" in message


def test_folds_take_the_whole_trial_of_an_earlier_study_without_folds(
    resolve: Resolve, earlier: Callable[..., None]
) -> None:
    earlier(blocks=("only",))
    found = resolve({"study": "before", "arm": "x"}, data={"folds": 2})
    assert [weights_of(each).trial for each in found] == [name_trial("only", "x", 0)] * 2


@pytest.mark.parametrize("is_indirect", [False, True], ids=["its own", "those it began with"])
def test_weights_that_have_seen_the_held_out_fold_are_refused(
    ledger: Ledger, folders: Folders, make_plan: MakePlan, facts: ImageFacts, is_indirect: bool
) -> None:
    plan = make_plan(1, recipe={"transfer": {"weights": {"trial": "abc123"}, "freeze": 1}}, data={"folds": 2})
    first = plan.trials[0]
    data = {"fingerprint": facts.fingerprint, "folds": 2, "validation": 0.1}
    allowed = {"data": data, "fold": first.fold, "seed": first.seed}
    contents = {
        "another fold": {**allowed, "fold": 1},
        "another seed": {**allowed, "seed": first.seed + 1},
        "no folds": {**allowed, "fold": None, "data": {"fingerprint": facts.fingerprint, "validation": 0.1}},
        "the same fold": allowed,
        "other images": {**allowed, "fold": None, "data": {"fingerprint": "other", "validation": 0.1}},
    }
    refused = []
    for number, (name, content) in enumerate(contents.items()):
        weights = f"{number:024d}"
        finish(ledger, folders, weights, content=content)
        if is_indirect:
            later = f"{number + 100:024d}"
            recipe = {"transfer": {"weights": {"trial": weights}}}
            finish(ledger, folders, later, content={**contents["other images"], "recipe": recipe})
            weights = later
        resolver = Resolver("study", ledger.connection, folders, None, {DataSource(name="digits"): facts})
        transfer = first.recipe.transfer
        assert transfer is not None
        recipe_with = first.recipe.model_copy(
            update={"transfer": transfer.model_copy(update={"weights": TrialWeights(trial=weights)})}
        )
        try:
            resolver.resolve(replace(first, recipe=recipe_with))
        except WorkspaceError as error:
            refused.append((name, "images of this study's held-out fold" in str(error)))
    assert refused == [("another fold", True), ("another seed", True), ("no folds", True)]


@pytest.mark.parametrize(
    ("state", "message"),
    [("", "is not finished"), ("failed", "ended as failed"), ("diverged", "ended as diverged")],
)
def test_only_finished_trials_have_weights(
    resolve: Resolve, earlier: Callable[..., None], state: str, message: str
) -> None:
    earlier(blocks=("only",), state=state)
    assert message in refuse(resolve, {"study": "before", "arm": "x"})


def test_a_study_cannot_begin_with_itself(resolve: Resolve) -> None:
    assert "its own weights" in refuse(resolve, {"study": "study", "arm": "x"})


def test_a_trial_may_be_named_by_the_beginning_of_its_id(resolve: Resolve, ledger: Ledger, folders: Folders) -> None:
    for trial_id in ("ab12cd", "ab12ef"):
        finish(ledger, folders, trial_id)
    (found,) = resolve({"trial": "ab12c"})
    assert weights_of(found) == TrialWeights(trial="ab12cd")
    assert "2 trials" in refuse(resolve, {"trial": "ab12"})


def test_weights_that_were_deleted_are_missed(resolve: Resolve, ledger: Ledger, folders: Folders) -> None:
    finish(ledger, folders, "ab12cd")
    folders.weights("ab12cd").unlink()
    assert "ab12cd are missing" in refuse(resolve, {"trial": "ab12cd"})


def test_a_file_is_kept_by_its_content(
    resolve: Resolve, folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: ImageFacts
) -> None:
    monkeypatch.chdir(tmp_path)
    digest = hashlib.sha256(TENSORS).hexdigest()
    ids = set()
    for name in ("one.safetensors", "other.safetensors"):
        Path(name).write_bytes(TENSORS)
        (found,) = resolve({"file": name})
        assert weights_of(found) == FileWeights(file=name, sha256=digest)
        ids.add(identify(found, {DataSource(name="digits"): facts}, "float32").trial_id)
    assert len(ids) == 1
    kept = folders.find_copied_weights(digest)
    assert kept is not None
    assert (kept.name, kept.read_bytes()) == (f"{digest}.safetensors", TENSORS)
    Path("one.safetensors").write_bytes(save({"w": np.ones(2, np.float32)}))
    (found,) = resolve({"file": "one.safetensors"})
    assert identify(found, {DataSource(name="digits"): facts}, "float32").trial_id not in ids


def test_an_average_is_chosen_said_and_part_of_the_identity(
    ledger: Ledger, folders: Folders, make_plan: MakePlan, tmp_path: Path, facts: ImageFacts
) -> None:
    datasets = {DataSource(name="digits"): facts}
    file, plain = tmp_path / "w.pth", tmp_path / "plain.pth"
    torch.save({"state_dict": {"a": torch.ones(1)}, "state_dict_ema": {"a": torch.ones(1)}}, file)
    torch.save({"state_dict": {"a": torch.ones(1)}}, plain)
    ids, notes = {}, {}
    for path in (file, plain):
        for ema in (None, True, False):
            weights = {"file": str(path), "ema": ema}
            plan = make_plan(1, recipe={"transfer": {"weights": weights, "freeze": 1}})
            resolver = Resolver(plan.study.name, ledger.connection, folders, None)
            if path == plain and ema:
                with pytest.raises(WorkspaceError, match="leave out ema"):
                    resolver.resolve(plan.trials[0])
                continue
            found = resolver.resolve(plan.trials[0])
            ids[path, ema], notes[path, ema] = identify(found, datasets, "float32"), resolver.notes
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert ids[file, None].trial_id == ids[file, True].trial_id != ids[file, False].trial_id
    assert ids[plain, None].trial_id == ids[plain, False].trial_id
    # As before there was a choice: the hash alone.
    assert ids[file, False].content["recipe"]["transfer"]["weights"] == {"sha256": digest}
    assert [bool(each) for each in notes.values()] == [True, False, False, False, False]
    assert "ema: false" in notes[file, None][0]


def test_a_file_that_has_gone_is_taken_from_the_workspace_where_its_hash_is_known(
    resolve: Resolve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    digest = hashlib.sha256(TENSORS).hexdigest()
    Path("w.pt").write_bytes(TENSORS)
    resolve({"file": "w.pt"})
    Path("w.pt").unlink()
    (found,) = resolve({"file": "w.pt", "sha256": digest})
    assert weights_of(found) == FileWeights(file="w.pt", sha256=digest)
    assert "w.pt" in refuse(resolve, {"file": "w.pt"})


def test_another_hash_is_refused(resolve: Resolve, tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(TENSORS)
    message = refuse(resolve, {"file": str(tmp_path / "w.pt"), "sha256": "0" * 64})
    assert "0" * 64 in message


def _save_torch(legacy: bool) -> bytes:
    content = io.BytesIO()
    torch.save({"w": torch.zeros(2)}, content, _use_new_zipfile_serialization=not legacy)
    return content.getvalue()


def _zip_a_letter() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("word/document.xml", "a letter")
    return content.getvalue()


@pytest.mark.parametrize(
    "content",
    [TENSORS, _save_torch(legacy=False), _save_torch(legacy=True)],
    ids=["safetensors", "archive", "legacy"],
)
@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_copy_of_weights_is_as_private_as_they_are(
    resolve: Resolve, folders: Folders, tmp_path: Path, content: bytes, mode: int
) -> None:
    (tmp_path / "w").write_bytes(content)
    (tmp_path / "w").chmod(mode)
    resolve({"file": str(tmp_path / "w")})
    copy = folders.find_copied_weights(hashlib.sha256(content).hexdigest())
    assert copy is not None
    assert copy.read_bytes() == content
    if os.name != "nt":
        assert stat.S_IMODE(copy.stat().st_mode) == mode


@pytest.mark.parametrize(
    "content",
    [
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n",
        b"",
        b"password{",
        (40).to_bytes(8, "little") + b'{"user": "me", "password": "secret"}    ',
        _zip_a_letter(),
        b"PK\x05\x06",
    ],
    ids=["key", "empty", "brace", "JSON", "zip", "torn zip"],
)
def test_what_is_no_file_of_weights_is_not_copied(
    resolve: Resolve, folders: Folders, tmp_path: Path, content: bytes
) -> None:
    """`weights: {file: ~/.ssh/id_rsa}` put a copy that everybody could read into the workspace."""
    (tmp_path / "id_rsa").write_bytes(content)
    message = refuse(resolve, {"file": str(tmp_path / "id_rsa")})
    assert message.startswith(f"transfer: {tmp_path / 'id_rsa'} is not ")
    assert not (folders.root / "weights").exists()
