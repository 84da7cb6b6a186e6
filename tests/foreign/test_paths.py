"""Paths become columns; a part is split only if it means one thing in all runs."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from bakeoff.foreign.paths import make_path_columns
from bakeoff.foreign.reading import find_files


def _read(*paths: str) -> list[dict[str, object]]:
    return [dict(row) for row in make_path_columns([tuple(path.split("/")) for path in paths])]


def _cross(pattern: str) -> list[str]:
    return [pattern.format(arm=arm, seed=seed) for arm, seed in product(("adam", "sgd"), (1, 2))]


@pytest.mark.parametrize(
    "pattern",
    [
        "{arm}/seed{seed}/metrics",
        "{arm}_seed{seed}",
        "{arm}-Seed-{seed}",
        "seed_{seed}_{arm}",
        "{arm}_s{seed}",
        "logs/{arm}/seed={seed}",
        "{arm}_seed={seed}",
        "{arm},seed={seed}",
    ],
)
def test_arm_and_seed_are_told_from_any_usual_name(pattern: str) -> None:
    rows = _read(*_cross(pattern))
    assert [(row["path.1"], row["path.2"], row["seed"]) for row in rows] == [
        ("adam", 1, 1),
        ("adam", 2, 2),
        ("sgd", 1, 1),
        ("sgd", 2, 2),
    ]
    assert set(rows[0]) == {"path.1", "path.2", "seed"}


def test_settings_in_names_become_columns() -> None:
    assert _read(*_cross("optimizer={arm},lr=1e-3,seed={seed}"))[3] == {
        "path.1": "sgd",
        "path.2": 2,
        "optimizer": "sgd",
        "lr": 0.001,
        "seed": 2,
    }


def test_bare_numbers_are_split_only_if_all_names_have_the_same() -> None:
    assert _read(*_cross("{arm}_{seed}"))[2] == {"path.1": "sgd", "path.2": 1}
    assert _read("resnet_18", "resnet_34", "vgg_16", "vgg_19")[1] == {"path.1": "resnet_34"}
    assert _read("version_0", "version_1")[1] == {"path.1": "version_1"}


def test_parts_that_all_share_are_left_out_and_depths_may_differ() -> None:
    assert _read("runs/a/log", "runs/b/extra/log") == [
        {"path.1": "a", "path.2": "log"},
        {"path.1": "b", "path.2": "extra", "path.3": "log"},
    ]
    assert _read("a/1", "a/x") == [{"path.1": "1"}, {"path.1": "x"}]
    assert _read("alone") == [{}]


def test_each_file_is_found_once_in_natural_order_whatever_links_to_it(tmp_path: Path) -> None:
    for name in ("s10", "s2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.csv").write_text("x")
    (tmp_path / "s2" / "loop").symlink_to(tmp_path)
    (tmp_path / "s3").symlink_to(tmp_path / "s10")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "log.csv").write_text("x")
    found = list(find_files(str(tmp_path), lambda path: path.name == "log.csv"))
    assert [file.parts for file in found] == [("s2", "log"), ("s3", "log")]
