"""Transfers from trials that have seen locked images: refused with their number, or said in the report."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bakeoff.api import Result, Study, run
from bakeoff.deploy.export.export import export_study
from bakeoff.errors import WorkspaceError
from bakeoff.ledger.read import find_study, open_reading, read_study
from bakeoff.report.render.markdown import write_markdown
from bakeoff.workspace import Folders

pytestmark = pytest.mark.usefixtures("shared_cache", "in_process")

Pixels = Any
NETWORK = {"name": "mlp", "units": [8]}


def _draw(number: int, seed: int) -> list[Pixels]:
    """Return smooth colour images of noise, all different."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (number, 6, 6, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(each).resize((24, 24), Image.Resampling.BICUBIC)) for each in coarse]


def _write(root: Path, train: list[Pixels], test: list[Pixels] | None = None, suffix: str = ".png") -> Path:
    for part, images in (("train", train), ("test", test or [])):
        for number, image in enumerate(images):
            folder = root / part / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(
                folder / f"{number:03}{suffix}", **({"quality": 90} if suffix == ".jpg" else {})
            )
    return root


def _study(name: str, folder: Path, weights: Any = None, **data: Any) -> Study:
    recipe: dict[str, Any] = {"network": NETWORK, "epochs": 1, "batch_size": 16}
    if weights is not None:
        recipe["transfer"] = {"weights": weights}
    return Study(
        question="Which?",
        name=name,
        data={"folder": str(folder), "image_size": 8, "validation": 0.25, **data},
        recipe=recipe,
        arms=[{"adam": {"optimizer": "adam"}, "sgd": {"optimizer": "sgd"}}],
        replicates=1,
        numeric="float32",
    )


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Pixels]]:
    """A workspace with a study on 40 training images."""
    root = tmp_path_factory.mktemp("overlap")
    images = _draw(40, seed=1)
    run(_study("earlier", _write(root / "earlier", images, _draw(10, seed=2))), workspace=root / "runs", workers=1)
    return root / "runs", images


Start = Callable[..., Result]


@pytest.fixture
def start(earlier: tuple[Path, list[Pixels]], tmp_path: Path) -> Start:
    """Run a study on other training images, with these test images, from the earlier study's weights."""

    def begin(test: list[Pixels], suffix: str = ".png", weights: Any = None, **data: Any) -> Result:
        folder = _write(tmp_path / "later", _draw(30, seed=3), test, suffix)
        given = weights or {"study": "earlier", "arm": "adam"}
        return run(_study("later", folder, given, **data), workspace=earlier[0], workers=1)

    return begin


def _mirror(images: list[Pixels]) -> list[Pixels]:
    return [np.ascontiguousarray(image[:, ::-1]) for image in images]


def _enlarge(images: list[Pixels]) -> list[Pixels]:
    return [np.asarray(Image.fromarray(image).resize((60, 60), Image.Resampling.BICUBIC)) for image in images]


@pytest.mark.parametrize(
    ("change", "suffix"),
    [(list, ".png"), (list, ".jpg"), (_mirror, ".png"), (_enlarge, ".png")],
    ids=["copies", "encoded", "mirrored", "enlarged"],
)
def test_test_images_that_the_weights_have_seen(
    start: Start, earlier: tuple[Path, list[Pixels]], change: Any, suffix: str
) -> None:
    test = [*change(earlier[1][:8]), *_draw(12, seed=4)]
    with pytest.raises(WorkspaceError, match="8 of the 20 images of this study's test split"):
        start(test, suffix)


def test_a_weights_file_of_a_trial_is_that_trial(
    start: Start, earlier: tuple[Path, list[Pixels]], tmp_path: Path
) -> None:
    with open_reading(Folders(earlier[0])) as connection:
        trial_id = read_study(connection, find_study(connection, "earlier")).results[0].trial_id
    copied = shutil.copyfile(Folders(earlier[0]).weights(trial_id), tmp_path / "copied.safetensors")
    with pytest.raises(WorkspaceError, match="8 of the 20 images of this study's test split"):
        start([*earlier[1][:8], *_draw(12, seed=4)], weights={"file": str(copied)})


def test_a_refit_has_seen_the_validation_images_too(
    earlier: tuple[Path, list[Pixels]], tmp_path: Path, in_process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same study the trial's own validation split is untouched, but a refit has trained on it."""
    monkeypatch.setattr("bakeoff.deploy.export.refit.LocalExecutor", in_process)
    workspace, _ = earlier
    files = {}
    for is_refit in (False, True):
        done = export_study("earlier", [], tmp_path / str(is_refit), workspace, arm="adam", on_all_images=is_refit)
        files[is_refit] = {"file": str(done.folder / "model.safetensors")}
    folder = workspace.parent / "earlier"
    assert _run_again(workspace, folder, files[False]).state == "done"
    with pytest.raises(WorkspaceError, match="10 of the 10 images of this study's validation split"):
        _run_again(workspace, folder, files[True])
    kept = Folders(workspace).weights(done.record.trial_id)
    with pytest.raises(WorkspaceError, match="10 of the 10 images of this study's validation split"):
        _run_again(workspace, folder, {"file": str(kept)})
    with pytest.raises(WorkspaceError, match=r"(\d+) of the \1 images of this study's held-out fold"):
        _run_again(workspace, folder, files[True], folds=2)


def test_the_answer_says_if_it_is_not_known_what_weights_have_seen(
    start: Start, earlier: tuple[Path, list[Pixels]], tmp_path: Path
) -> None:
    workspace = tmp_path / "runs"
    shutil.copytree(earlier[0], workspace)
    shutil.rmtree(workspace / "audits")
    folder = _write(tmp_path / "later", _draw(30, seed=3), [*earlier[1][:8], *_draw(12, seed=4)])
    result = run(_study("later", folder, {"study": "earlier", "arm": "adam"}), workspace=workspace, workers=1)
    text = write_markdown(result.report)
    assert "it is not known which images that has seen" in text[: text.index("What it rests on")]


def test_other_images_are_welcome(start: Start) -> None:
    assert start(_draw(20, seed=5)).state == "done"


def test_allowed_overlap_stands_in_the_headline(start: Start, earlier: tuple[Path, list[Pixels]]) -> None:
    result = start([*earlier[1][:8], *_draw(12, seed=6)], allow_overlap=True)
    assert result.state == "done"
    text = write_markdown(result.report)
    sentence = "8 of the 20 images of this study's test split"
    assert sentence in text[: text.index("What it rests on")]
    assert "data.allow_overlap" in text


def _run_again(workspace: Path, folder: Path, weights: Any, **fields: Any) -> Result:
    return run(_study("again", folder, weights, **fields), workspace=workspace, workers=1)


def test_another_split_of_the_same_images(earlier: tuple[Path, list[Pixels]], tmp_path: Path) -> None:
    workspace, _ = earlier
    folder, weights = workspace.parent / "earlier", {"study": "earlier", "arm": "adam"}
    assert _run_again(workspace, folder, weights).state == "done"  # the same replicate has the same split
    with pytest.raises(WorkspaceError, match="validation split"):
        run(_study("again", folder, weights).model_copy(update={"seed": 5}), workspace=workspace, workers=1)
    with pytest.raises(WorkspaceError, match="held-out fold"):
        _run_again(workspace, folder, weights, folds=2)


def test_another_test_share(tmp_path: Path) -> None:
    folder = _write(tmp_path / "one", _draw(60, seed=7))
    workspace = tmp_path / "runs"
    run(_study("first", folder, test=0.2), workspace=workspace, workers=1)
    with pytest.raises(WorkspaceError, match="test split"):
        run(_study("second", folder, {"study": "first", "arm": "sgd"}, test=0.5), workspace=workspace, workers=1)


def test_chains_and_trials(start: Start, earlier: tuple[Path, list[Pixels]], tmp_path: Path) -> None:
    workspace, images = earlier
    middle = _study(
        "middle", _write(tmp_path / "middle", _draw(30, seed=8), _draw(8, seed=9)), {"study": "earlier", "arm": "adam"}
    )
    run(middle, workspace=workspace, workers=1)
    with open_reading(Folders(workspace)) as connection:
        trial = read_study(connection, find_study(connection, "middle")).results[0].trial_id
    test = [*images[:4], *_draw(6, seed=10)]
    for weights in ({"study": "middle", "arm": "adam"}, {"trial": trial}):
        with pytest.raises(WorkspaceError, match="4 of the 10 images of this study's test split"):
            start(test, weights=weights)
