from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from bakeoff.data import cifar
from bakeoff.errors import DataError


def test_decodes_a_record_spelled_out() -> None:
    red, green, blue = (np.arange(1024).reshape(32, 32) % 251 + offset for offset in (0, 1, 2))
    planes = np.stack([red, green, blue]).astype(np.uint8).tobytes()
    pixels, labels = cifar.decode_records([bytes([4]) + planes, bytes([9]) + planes], num_label_bytes=1)
    assert pixels.shape == (2, 32, 32, 3)
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(labels, [4, 9])
    np.testing.assert_array_equal(pixels[0, :, :, 1], green)
    np.testing.assert_array_equal(pixels[1, 3, 5], [101, 102, 103])


def test_the_fine_label_is_the_second_byte() -> None:
    _, labels = cifar.decode_records([bytes([3, 77]) + bytes(3072)], num_label_bytes=2)
    np.testing.assert_array_equal(labels, [77])


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(bytes(3072))
    with pytest.raises(DataError, match=r"data_batch_1\.bin is truncated: it has 3,072 bytes, expected 3,073"):
        cifar.read_folder([path], 3073)
    path.write_bytes(bytes(3074))
    with pytest.raises(DataError, match="too long"):
        cifar.read_folder([path], 3073)


def test_an_archive_gives_the_wanted_members_only(tmp_path: Path, archive, monkeypatch) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(archive({"f/test.bin": b"secret", "f/train.bin": b"abc", "f/names.txt": b"x"}))
    touched = []
    original = tarfile.TarFile.extractfile
    monkeypatch.setattr(
        tarfile.TarFile, "extractfile", lambda self, member: touched.append(member.name) or original(self, member)
    )
    found = cifar.read_archive(path, ["f/train.bin"], 3, ["f/names.txt", "f/absent.txt"])
    assert found == {"f/train.bin": b"abc", "f/names.txt": b"x"}
    assert touched == ["f/train.bin", "f/names.txt"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_member_is_named(tmp_path: Path, archive) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(archive({"f/other.bin": b"abc"}))
    with pytest.raises(DataError, match=r"a\.tar\.gz has no member f/train\.bin"):
        cifar.read_archive(path, ["f/train.bin"], 3)


def test_a_member_of_another_size_is_refused_unread(tmp_path: Path, archive) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(archive({"f/train.bin": bytes(100)}))
    with pytest.raises(DataError, match=r"member f/train\.bin is too long: it has 100 bytes, expected 3"):
        cifar.read_archive(path, ["f/train.bin"], 3)


def test_a_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as target:
        info = tarfile.TarInfo("f/train.bin")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        target.addfile(info)
    with pytest.raises(DataError, match="not a regular file"):
        cifar.read_archive(path, ["f/train.bin"], 3)


def test_damaged_archives_end_in_one_clear_line(tmp_path: Path, archive) -> None:
    generator = np.random.default_rng(0)
    whole = archive({"f/train.bin": generator.bytes(3000), "f/test.bin": generator.bytes(500)})
    path = tmp_path / "a.tar.gz"
    refusals = []
    for _ in range(200):
        content = bytearray(whole[: generator.integers(0, len(whole) + 1)])
        for position in generator.integers(0, max(1, len(content)), 3):
            content[position : position + 1] = generator.bytes(1)
        path.write_bytes(content)
        try:
            cifar.read_archive(path, ["f/train.bin"], 3000)
        except DataError as error:
            refusals.append(str(error))
    assert len(refusals) > 150
    assert not [message for message in refusals if "\n" in message]


def test_a_pickle_is_never_loaded(tmp_path: Path, archive, monkeypatch) -> None:
    monkeypatch.setattr(pickle, "loads", None)
    monkeypatch.setattr(pickle, "load", None)
    path = tmp_path / "a.tar.gz"
    buffer = io.BytesIO()
    pickle.dump({"data": [1]}, buffer)
    path.write_bytes(archive({"f/train.bin": buffer.getvalue()}))
    with pytest.raises(DataError, match="bytes, expected 3,073"):
        cifar.read_archive(path, ["f/train.bin"], 3073)


@pytest.mark.parametrize("content", [b"a\nb\n", b"a\nb\nb\n", b"\xff\xfe\n", b""])
def test_wrong_class_names_are_refused(content: bytes) -> None:
    with pytest.raises(DataError, match=r"names\.txt"):
        cifar.parse_class_names(content, "names.txt", 3)


def test_class_names_are_read_line_by_line() -> None:
    assert cifar.parse_class_names(b"apple\naquarium_fish\n\n", "names.txt", 2) == ("apple", "aquarium_fish")
