"""Files in the cache that can be made again: damage and full disks cost a measurement, never a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bakeoff.driver import cached_json, pretrained, probe_cache, timing
from bakeoff.driver.cached_json import read_cached, write_cached
from bakeoff.errors import StorageError

DAMAGED = [
    "",
    "{",
    "[]",
    "{}",
    "null",
    "7",
    '"text"',
    "[" * 100_000,
    '{"fused": 1e999, "alone": 1, "num_members": 1e999}',
]
MAKERS = [probe_cache._check, pretrained._make, timing._make_step_time]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_cached(tmp_path / "folder" / "a.json", {"é": [1.5, None]})
    assert read_cached(tmp_path / "folder" / "a.json", dict) == {"é": [1.5, None]}
    assert read_cached(tmp_path / "b.json", dict) is None


@pytest.mark.parametrize("text", DAMAGED)
@pytest.mark.parametrize("make", MAKERS)
def test_damage_is_absence(make: Callable[[Any], object], text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    assert read_cached(path, make) is None
    path.write_bytes(b"\xff\xfe\x00")
    assert read_cached(path, make) is None


def test_a_full_disk_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, write: Callable[[Path], object]) -> None:
        raise StorageError(f"{path}: no space left on device")

    monkeypatch.setattr(cached_json, "write_whole", fail)
    write_cached(tmp_path / "a.json", {})
    (tmp_path / "file").touch()
    monkeypatch.undo()
    write_cached(tmp_path / "file" / "a.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
