"""Archives and tables that are made to harm: refused in one line, at no cost."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bakeoff.data import cifar, manifest
from bakeoff.data.cifar import read_archive
from bakeoff.data.idx import read_zipped_idx
from bakeoff.data.manifest import list_manifest
from bakeoff.errors import DataError

MEMBER = "cifar/data.bin"


def _tar(path: Path, *infos: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for info in infos:
            archive.addfile(info, io.BytesIO(bytes(info.size)))
    return path


def _info(name: str = MEMBER, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


@pytest.mark.parametrize(
    "info",
    [
        _info(kind=tarfile.SYMTYPE, target="/etc/passwd"),
        _info(kind=tarfile.LNKTYPE, target="../../x"),
        _info(kind=tarfile.CHRTYPE),
        _info(kind=tarfile.DIRTYPE),
    ],
)
def test_a_member_that_is_no_file(tmp_path: Path, info: tarfile.TarInfo) -> None:
    path = _tar(tmp_path / "a.tar.gz", info)
    with pytest.raises(DataError, match=rf"^{path}: .*{MEMBER} .*regular file"):
        read_archive(path, [MEMBER], 10)


def test_nothing_is_extracted(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    path = _tar(inside / "a.tar.gz", _info("../up", size=3), _info("/abs", size=3), _info(size=10))
    assert read_archive(path, [MEMBER], 10) == {MEMBER: bytes(10)}
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["a.tar.gz", "in"]


def test_an_archive_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "MAX_UNPACKED_BYTES", 100_000)
    path = _tar(tmp_path / "a.tar.gz", _info("skipped", size=200_000), _info(size=10))
    assert path.stat().st_size < 2_000
    with pytest.raises(DataError, match="100,000 bytes"):
        read_archive(path, [MEMBER], 10)


def test_an_archive_of_too_many_members(tmp_path: Path) -> None:
    path = _tar(tmp_path / "a.tar.gz", *(_info(f"m{number}") for number in range(cifar.MAX_MEMBERS + 1)))
    with pytest.raises(DataError, match="1,000 members"):
        read_archive(path, [MEMBER], 10)


def test_a_zip_packed_in_another_way(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("m", gzip.compress(b"x"))
    with pytest.raises(DataError, match=rf"^{path}: member m is compressed differently"):
        read_zipped_idx(path, "m", (1,))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_pipe_in_a_manifests_place(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=f"{name} .*regular file"):
        list_manifest(tmp_path / name)


def test_a_header_without_end(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label" * 1_000_000)
    with pytest.raises(DataError, match=r"t.csv: .*100,000 characters") as caught:
        list_manifest(tmp_path / "t.csv")
    assert len(str(caught.value)) < 2_000


def test_too_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "MAX_ROWS", 3)
    (tmp_path / "t.csv").write_text("path,label\n" + "a.png,cat\n" * 4)
    with pytest.raises(DataError, match=r"t.csv .*3 rows"):
        list_manifest(tmp_path / "t.csv")


def _write_parquet(path: Path, rows: int, text: str) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    column = arrow.DictionaryArray.from_arrays(arrow.array(np.zeros(rows, np.int32)), arrow.array([text]))
    parquet.write_table(arrow.table({"path": column, "label": column}), path, compression="zstd")


def test_a_table_of_very_many_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    _write_parquet(path, manifest.MAX_ROWS + 1, "a")
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match=r"t.parquet .*5,000,001"):
        list_manifest(path)


def test_a_table_of_very_long_texts(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    _write_parquet(path, 1_000_000, "x" * 100_000)  # 200 GB as text
    with pytest.raises(DataError, match=r"t.parquet: row 1: .*10,000"):
        list_manifest(path)
