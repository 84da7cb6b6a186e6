"""Datasets of the Hugging Face hub and of torchvision, from files in their published formats."""

from __future__ import annotations

import inspect
import io
import json
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow
import pytest
import scipy.io
from PIL import Image
from pyarrow import parquet

from bakeoff.data import manage
from bakeoff.data.files import list_source
from bakeoff.data.hub import CONVERTED, HubName
from bakeoff.data.imported import find_imported, obtain_imported, read_origin
from bakeoff.data.source import DataSource
from bakeoff.data.store import open_test, open_training
from bakeoff.data.torchvision_datasets import DATASETS
from bakeoff.engine import torchvision_datasets as program
from bakeoff.engine.fused.vision import import_torchvision
from bakeoff.errors import DataError
from bakeoff.extras import how_to_install

torchvision = import_torchvision()

CLASSES = ("ant", "bee")


def _encode(value: int, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((5, 4, 3), value, np.uint8)).save(stream, kind)
    return stream.getvalue()


def _write_parquet(path: Path, values: list[int], *, described: bool = True, texts: bool = False) -> None:
    """Write a file as the hub does: images as bytes and path, labels as numbers, both described in the schema."""
    images = pyarrow.array(
        [{"bytes": _encode(value), "path": f"{value}.png"} for value in values],
        pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())]),
    )
    labels = [CLASSES[value % 2] if texts else value % 2 for value in values]
    table = pyarrow.table({"image": images, "label": labels, "width": values})
    features: dict[str, Any] = {"image": {"_type": "Image"}, "width": {"dtype": "int64", "_type": "Value"}}
    features["label"] = {"_type": "Value"} if texts else {"names": list(CLASSES), "_type": "ClassLabel"}
    if described:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path)


@dataclass
class Sibling:
    rfilename: str


@dataclass
class Info:
    sha: str
    siblings: list[Sibling]


@dataclass
class Hub:
    """Stands in for the hub: a folder per branch."""

    root: Path
    fetched: list[str] = field(default_factory=list)

    def dataset_info(self, repo: str, revision: str | None = None) -> Info:
        folder = self.root / repo / (revision or "main").replace("/", "_")
        if not folder.is_dir():
            raise OSError(f"404 {repo}@{revision}")
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        return Info(f"sha-of-{folder.name}", [Sibling(file) for file in files])

    def download(self, repo: str, path: str, *, repo_type: str, revision: str) -> str:
        assert repo_type == "dataset"
        self.fetched.append(path)
        return str(self.root / repo / revision.removeprefix("sha-of-") / path)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    stand_in, module = Hub(tmp_path / "hub"), ModuleType("huggingface_hub")
    module.HfApi = lambda: stand_in  # type: ignore[attr-defined]
    module.hf_hub_download = stand_in.download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return stand_in


def _find_values(images: Any) -> list[int]:
    return sorted(int(value) for value in images.pixels[:, 0, 0, 0])


def test_a_dataset_of_the_hub(hub: Hub) -> None:
    main = hub.root / "me/bugs/main"
    _write_parquet(main / "data/train-00000-of-00002.parquet", [1, 2, 3])
    _write_parquet(main / "data/train-00001-of-00002.parquet", [4, 5, 6])
    _write_parquet(main / "data/test-00000-of-00001.parquet", [7, 8])
    (main / "evil.pkl").write_bytes(b"never read")
    source = DataSource(name="hf:me/bugs", image_size=4)
    training, test = open_training(source), open_test(source)
    assert _find_values(training) == [1, 2, 3, 4, 5, 6]
    assert _find_values(test) == [7, 8]
    assert training.class_names == CLASSES
    assert [int(label) for label in training.labels] == [value % 2 for value in training.pixels[:, 0, 0, 0].tolist()]
    assert "sha-of-main" in " ".join(training.notes)
    assert all(path.endswith(".parquet") for path in hub.fetched)


def test_it_is_fetched_once(hub: Hub) -> None:
    _write_parquet(hub.root / "me/bugs/main/train.parquet", [1, 2, 3, 4])
    manifest, is_new = obtain_imported("hf:me/bugs", None)
    assert is_new
    assert read_origin(manifest) == {"from": "hf:me/bugs", "revision": "sha-of-main"}
    shutil.rmtree(hub.root)
    assert obtain_imported("hf:me/bugs", None) == (manifest, False)


def test_a_pinned_revision(hub: Hub) -> None:
    _write_parquet(hub.root / "me/bugs/main/train.parquet", [1, 2, 3, 4])
    _write_parquet(hub.root / "me/bugs/v2/train.parquet", [5, 6, 7, 8, 9, 10])
    assert len(list_source_after_get("hf:me/bugs@v2")) == 6
    assert len(list_source_after_get("hf:me/bugs")) == 4


def list_source_after_get(name: str) -> tuple[Any, ...]:
    manage.get(name)
    return list_source(DataSource(name=name)).files


@pytest.mark.parametrize("described", [True, False])
def test_the_hubs_own_copy_and_text_labels(hub: Hub, described: bool) -> None:
    (hub.root / "me/zipped/main").mkdir(parents=True)
    (hub.root / "me/zipped/main/images.zip").write_bytes(b"")
    copy = hub.root / "me/zipped" / CONVERTED.replace("/", "_")
    _write_parquet(copy / "default/train/0000.parquet", [1, 2, 3, 4], described=described, texts=True)
    _write_parquet(copy / "default/validation/0000.parquet", [5, 6], described=described, texts=True)
    images = open_training(DataSource(name="hf:me/zipped"))
    assert images.class_names == CLASSES
    assert images.own_validation is not None
    assert len(images.own_validation) == 2


def test_images_without_a_label_are_left_out(hub: Hub) -> None:
    path = hub.root / "me/bugs/main/test.parquet"
    _write_parquet(path, [1, 2, 3])
    _write_parquet(path.with_name("train.parquet"), [4, 5, 6, 7])
    table = parquet.read_table(path)
    hidden = table.set_column(1, "label", pyarrow.array([-1, None, 0])).replace_schema_metadata(table.schema.metadata)
    parquet.write_table(hidden, path)
    manage.get("hf:me/bugs")
    assert [file.class_name for file in list_source(DataSource(name="hf:me/bugs")).select("test")] == ["ant"]


def test_configurations(hub: Hub) -> None:
    for config, values in (("big", [1, 2, 3, 4]), ("small", [5, 6, 7, 8, 9, 10])):
        _write_parquet(hub.root / f"me/two/main/{config}/train-00000-of-00001.parquet", values)
    with pytest.raises(DataError, match=r"several configurations: big, small.*hf:me/two:big"):
        obtain_imported("hf:me/two", None)
    with pytest.raises(DataError, match="no configuration 'huge'"):
        obtain_imported("hf:me/two:huge", None)
    assert len(list_source_after_get("hf:me/two:small")) == 6


def test_what_cannot_be_used(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    (hub.root / "me/empty/main").mkdir(parents=True)
    (hub.root / "me/empty" / CONVERTED.replace("/", "_")).mkdir()
    table = pyarrow.table({"text": ["a"], "label": [1]})
    (hub.root / "me/text/main").mkdir(parents=True)
    parquet.write_table(table, hub.root / "me/text/main/train.parquet")
    for name, message in {
        "hf:me/none": "cannot be fetched from the hub: 404",
        "hf:me/empty": "no Parquet files",
        "hf:me/text": "no image classification.*text, label",
    }.items():
        with pytest.raises(DataError, match=message):
            obtain_imported(name, None)
        assert find_imported(name, None) is None
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DataError, match=re.escape(how_to_install("hub"))):
        obtain_imported("hf:me/bugs", None)


def test_before_it_is_fetched_the_remedy_is_named() -> None:
    with pytest.raises(DataError, match="bakeoff data get hf:me/bugs"):
        list_source(DataSource(name="hf:me/bugs"))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("hf:me/bugs", ("me/bugs", None, None)),
        ("hf:mnist", ("mnist", None, None)),
        ("hf:me/bugs:small@v1.2", ("me/bugs", "small", "v1.2")),
        ("hf:me/bugs@refs/convert/parquet", ("me/bugs", None, "refs/convert/parquet")),
    ],
)
def test_names(name: str, parts: tuple[str | None, ...]) -> None:
    parsed = HubName.parse(name)
    assert (parsed.repo, parsed.config, parsed.revision) == parts


@pytest.mark.parametrize("name", ["hf:", "hf:a/b/c", "hf:../x/y", "hf:a b", "hf:a/b@"])
def test_wrong_names(name: str) -> None:
    with pytest.raises(DataError, match="hf:OWNER/NAME"):
        HubName.parse(name)


def test_torchvision_has_every_dataset_with_these_arguments() -> None:
    for name, parts in DATASETS.items():
        signature = inspect.signature(getattr(torchvision.datasets, name))
        for arguments in parts.values():
            signature.bind(root="", download=True, **arguments)


def _write_svhn(folder: Path) -> dict[str, np.ndarray]:
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    written = {}
    for part, number in (("train", 12), ("test", 6)):
        pixels = generator.integers(0, 256, (32, 32, 3, number), dtype=np.uint8)
        labels = np.arange(1, number + 1, dtype=np.uint8)[:, np.newaxis] % 3 + 1
        scipy.io.savemat(folder / f"{part}_32x32.mat", {"X": pixels, "y": labels})
        written[part] = pixels
    return written


def test_svhn_is_copied_without_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "imported/torchvision-SVHN"
    written = _write_svhn(folder.with_name("torchvision-SVHN.downloads"))
    monkeypatch.setattr(torchvision.datasets.SVHN, "download", lambda self: None)
    monkeypatch.setattr(torchvision.datasets.SVHN, "_check_integrity", lambda self: True)
    assert program.main(["torchvision:SVHN", str(folder)]) == 0
    images = open_training(DataSource(name="torchvision:SVHN"), tmp_path)
    assert images.class_names == ("1", "2", "3")
    expected = {pixels.tobytes() for pixels in np.ascontiguousarray(written["train"].transpose(3, 0, 1, 2))}
    assert {np.ascontiguousarray(pixels).tobytes() for pixels in images.pixels} == expected
    assert not folder.with_name("torchvision-SVHN.downloads").exists()


def test_torchvisions_reason_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    downloads = tmp_path / "torchvision-STL10.downloads"
    downloads.write_bytes(b"")  # a file where a folder is needed
    assert program.main(["torchvision:STL10", str(tmp_path / "torchvision-STL10")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_unknown_torchvision_dataset() -> None:
    with pytest.raises(DataError, match=r"SVHM.*SVHN"):
        obtain_imported("torchvision:SVHM", None)
