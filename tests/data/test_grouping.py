from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bakeoff.data.cache import load_images
from bakeoff.data.content import Stamp
from bakeoff.data.decode import Decoded
from bakeoff.data.group_draws import number_groups
from bakeoff.data.grouping import unite
from bakeoff.data.listing import ImageFile
from bakeoff.data.store import compute_fingerprint, store_once


def make_files(*groups: str) -> list[ImageFile]:
    stamp = Stamp("x", 1, 0, 0, (0, 0))
    return [
        ImageFile(f"/f/{number}.png", f"{number}.png", "a", "train", stamp, group=group)
        for number, group in enumerate(groups)
    ]


def groups_of(files) -> list[str]:
    return [file.group for file in files]


@pytest.mark.parametrize(
    ("declared", "clusters", "expected"),
    [
        (["", "", ""], [], ["", "", ""]),
        (["", "", ""], [[0, 2]], ["0.png", "", "0.png"]),
        (["p", "p", "q", ""], [], ["p", "p", "q", ""]),
        (["q", "q", "p", ""], [[1, 2]], ["p", "p", "p", ""]),
        (["", "p", "", "", ""], [[0, 2], [2, 1], [3, 4]], ["p", "p", "p", "3.png", "3.png"]),
        (["", "", "0.png", "0.png"], [(0, 1), ()], ["0.png'", "0.png'", "0.png", "0.png"]),
        (["a", "b", "c", "d"], [[0, 1], [2, 3], [1, 2]], ["a"] * 4),
    ],
)
def test_groups_and_clusters_are_united_to_connected_components(declared, clusters, expected) -> None:
    files = make_files(*declared)
    united = unite(files, clusters)
    assert groups_of(united) == expected
    assert [replace(file, group="") for file in united] == [replace(file, group="") for file in files]


def test_components_agree_with_scipy() -> None:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    generator = np.random.default_rng(4)
    for _ in range(20):
        pairs = generator.integers(0, 60, (25, 2))
        graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(60, 60))
        _, expected = connected_components(graph, directed=False)
        found = number_groups(groups_of(unite(make_files(*[""] * 60), pairs.tolist())))
        assert found is not None
        assert len(set(zip(found.tolist(), expected.tolist(), strict=True))) == len(set(expected.tolist()))
        assert len(set(found.tolist())) == len(set(expected.tolist()))


def test_groups_are_numbered_by_first_appearance_and_lone_images_count() -> None:
    assert number_groups(["p", "", "q", "p", ""]).tolist() == [0, 1, 2, 0, 3]
    assert number_groups(["", "", ""]) is None
    assert number_groups(["p", "q", ""]) is None, "no two images share a group"


def test_groups_and_file_names_are_stored_and_only_groups_change_the_fingerprint(tmp_path) -> None:
    decoded = Decoded(pixels=np.zeros((4, 2, 2, 1), np.uint8), labels=np.array([0, 1, 0, 1]), class_names=("a", "b"))
    named = replace(decoded, files=("x/1.png", "x/2.png", "y/1.png", "é.png"))
    grouped = replace(named, groups=np.array([0, 0, 1, 2]))
    assert compute_fingerprint(decoded) == compute_fingerprint(named) != compute_fingerprint(grouped)
    stored = store_once(tmp_path / "grouped", "images", lambda _: grouped)
    assert stored.files == named.files
    assert stored.groups is not None
    assert stored.groups.tolist() == [0, 0, 1, 2]
    assert not stored.groups.flags.writeable
    plain = store_once(tmp_path / "plain", "images", lambda _: decoded)
    assert (plain.groups, plain.files) == (None, None)
    meta = tmp_path / "plain" / "meta.json"
    meta.write_text(meta.read_text().replace('"has_groups": false,', "").replace('"has_files": false,', ""))
    old = load_images(tmp_path / "plain")
    assert old is not None
    assert (old.groups, old.files, old.fingerprint) == (None, None, plain.fingerprint)
