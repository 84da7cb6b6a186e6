"""The code behind a user's network: every file that importing it would load, found without running any."""

from __future__ import annotations

import hashlib
import shutil
import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from bakeoff.catalog.networks.code_files import read_code
from bakeoff.catalog.networks.user_code import check_loaded, hash_code, hash_loaded
from bakeoff.errors import NetworkError


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make_file(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


LOADING = {
    "import": "import usr_blocks",
    "import from": "from usr_blocks import Block",
    "star": "from usr_blocks import *",
    "inside forward": "def forward(x):\n    import usr_blocks\n",
    "by name": "import importlib\nimportlib.import_module('usr_blocks')",
    "by a computed name": "from importlib import import_module\nimport_module(f'usr_{kind}')",
    "in between": "import usr_middle",
    "tried": "try:\n    import usr_blocks\nexcept ImportError:\n    pass",
}


@pytest.mark.parametrize("text", LOADING.values(), ids=LOADING)
def test_a_change_in_a_file_that_is_imported_is_another_code(text: str) -> None:
    make_file("usr_net.py", text)
    make_file("usr_middle.py", "import usr_blocks")
    make_file("usr_blocks.py", "depth = 1")
    before = hash_code("usr_net:Net")
    make_file("usr_blocks.py", "depth = 2")
    assert hash_code("usr_net:Net") not in (before, None)
    make_file("usr_blocks.py", "depth = 1")
    make_file("unrelated.py", "x = 1")
    if "kind" not in text:  # where the name is computed, all files beside it count
        assert hash_code("usr_net:Net") == before


def test_packages_with_all_that_lies_around_them() -> None:
    make_file("usr_pack/__init__.py", "from . import settings\n__all__ = ['listed']")
    make_file("usr_pack/settings.py", "")
    make_file("usr_pack/listed.py", "x = 1")
    make_file("usr_pack/deep/__init__.py", "")
    make_file("usr_pack/deep/net.py", "from ..blocks import Block\nfrom .. import heads\nfrom ....out import x")
    make_file("usr_pack/blocks.py", "import usr_space.inner.part")
    make_file("usr_pack/heads.py", "x = 1")
    make_file("usr_pack/unused.py", "x = 1")
    make_file("usr_space/inner/part.py", "x = 1")  # a namespace package
    assert sorted(read_code("usr_pack.deep.net")) == [
        "usr_pack",
        "usr_pack.blocks",
        "usr_pack.deep",
        "usr_pack.deep.net",
        "usr_pack.heads",
        "usr_pack.listed",
        "usr_pack.settings",
        "usr_space.inner.part",
    ]
    before = hash_code("usr_pack.deep.net:Net")
    make_file("usr_pack/unused.py", "x = 2")
    assert hash_code("usr_pack.deep.net:Net") == before
    shutil.rmtree("usr_space")
    assert hash_code("usr_pack.deep.net:Net") not in (before, None)


def test_a_file_by_itself_has_its_own_hash() -> None:
    make_file("usr_pack/__init__.py", "")
    make_file("usr_pack/net.py", "import torch, json, numpy.linalg, missing_altogether")
    assert hash_code("usr_pack.net:Net") == hashlib.sha256(Path("usr_pack/net.py").read_bytes()).hexdigest()


def test_circles_broken_files_and_binary_ones_end() -> None:
    make_file("usr_a.py", "import usr_b, usr_broken, usr_binary")
    make_file("usr_b.py", "import usr_a")
    make_file("usr_broken.py", "def (")
    Path("usr_binary.so").write_bytes(b"\x00\xff")
    assert {"usr_a", "usr_b", "usr_broken"} <= read_code("usr_a").keys()


def test_a_compiled_extension_counts() -> None:
    make_file("usr_net.py", "import usr_fast")
    Path(f"usr_fast{EXTENSION_SUFFIXES[0]}").write_bytes(b"one")
    before = hash_code("usr_net:Net")
    Path(f"usr_fast{EXTENSION_SUFFIXES[0]}").write_bytes(b"two")
    assert hash_code("usr_net:Net") != before


def test_modules_in_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile("nets.zip", "w") as archive:
        archive.writestr("usr_zipped.py", "import usr_beside")
        archive.writestr("usr_beside.py", "x = 1")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "nets.zip")])
    assert sorted(read_code("usr_zipped")) == ["usr_beside", "usr_zipped"]


def test_installed_packages_are_followed_only_where_the_module_is_one_of_theirs() -> None:
    make_file("usr_net.py", "import json, pytest, torch, bakeoff.api")
    assert read_code("usr_net").keys() == {"usr_net"}
    assert {"json", "json.decoder", "json.encoder", "json.scanner"} == read_code("json.decoder").keys()
    assert read_code("sys") == {}


def test_a_worker_refuses_code_that_is_not_what_the_study_began_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    make_file("usr_late.py", "Net = dict")
    began = hash_code("usr_late:Net")
    check_loaded("usr_late:Net", began)
    make_file("usr_late.py", "Net = list")
    check_loaded("usr_late:Net", began)  # this process still runs what it has loaded
    assert hash_loaded("usr_late:Net") == began
    monkeypatch.delitem(sys.modules, "usr_late")
    with pytest.raises(NetworkError, match=r"^usr_late:Net: .*differs") as caught:
        check_loaded("usr_late:Net", began)
    assert "\n" not in str(caught.value)
