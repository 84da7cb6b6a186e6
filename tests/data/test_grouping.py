from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bakeoff.data.cache import load_images
from bakeoff.data.content import Stamp
from bakeoff.data.decode import Decoded
from bakeoff.data.files import list_source
from bakeoff.data.group_draws import number_groups
from bakeoff.data.grouping import unite
from bakeoff.data.listing import ImageFile
from bakeoff.data.source import DataSource
from bakeoff.data.store import compute_fingerprint, store_once
from bakeoff.errors import DataError


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


def write_tree(root: Path, *names: str) -> str:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"never opened")
    return str(root)


def name_groups(listing) -> dict[str, str]:
    return {file.shown: file.group for file in listing.files}


BURSTS = [f"{name}/p{patient}_{shot}.png" for name in ("cat", "dog") for patient in range(4) for shot in range(3)]


@pytest.mark.parametrize("rule", [r"/(p\d+)_", r"p\d+", r"[^/]+(?=_)"])
def test_a_regular_expression_names_the_group_of_a_folder_s_images(tmp_path, rule) -> None:
    listing = list_source(DataSource(folder=write_tree(tmp_path, *BURSTS), group=rule))
    assert name_groups(listing)["cat/p2_1.png"] == "p2"
    sides = [{file.group for file in listing.select(part)} for part in ("train", "test")]
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == {"p0", "p1", "p2", "p3"}
    assert re.search(
        r"^\d+ training images in 3 groups \(group: .*\); 3 of them cover several classes$", listing.notes[-1]
    )


def test_the_folder_below_the_class_folder_names_the_group(tmp_path) -> None:
    names = [f"{name}/{name[0]}{number}/{shot}.png" for name in ("cat", "dog") for number in "abc" for shot in "12"]
    listing = list_source(DataSource(folder=write_tree(tmp_path / "plain", *names), group="parent"))
    assert name_groups(listing)["dog/dc/2.png"] == "dc"
    assert len(listing.select("test")) == 4
    folders = [f"{part}/{name}/{part}{number}" for part in ("Train", "test") for name in "ab" for number in "12"]
    parts = [f"{folder}/{shot}.png" for folder in folders for shot in "12"]
    listing = list_source(DataSource(folder=write_tree(tmp_path / "parts", *parts), group="parent"))
    assert name_groups(listing)["Train/a/Train1/1.png"] == "Train1"
    write_tree(tmp_path / "plain", "cat/loose.png")
    with pytest.raises(DataError, match=r"(?m)1 of 13 images are directly in a class folder.*: cat/loose\.png\.$"):
        list_source(DataSource(folder=str(tmp_path / "plain"), group="parent"))


def test_images_that_a_rule_does_not_match_are_named(tmp_path) -> None:
    folder = write_tree(tmp_path, *BURSTS, "cat/x.png", "dog/p_0.png")
    with pytest.raises(
        DataError, match=r"2 of 26 images are not matched by group: p\\d\+, .*: cat/x.png, dog/p_0.png\."
    ):
        list_source(DataSource(folder=folder, group=r"p\d+"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"folder": "x", "group": "("}, r"neither parent nor a regular expression: \( \(missing"),
        ({"folder": "x", "group": "a*"}, r"matches the empty text"),
        ({"folder": "x", "group": ""}, r"matches the empty text"),
        ({"manifest": "x", "group": "parent"}, r"group is for folders; a manifest .* column group"),
        ({"name": "digits", "group": "parent"}, r"group is for folders; a dataset has no groups"),
    ],
)
def test_a_wrong_rule_is_refused_before_anything_is_listed(fields, message) -> None:
    with pytest.raises(ValueError, match=message):
        DataSource(**fields)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,x,p\nb,x,p\nc,y,p\nd,y,p", "all 4 training images are in one group, p"),
        ("a,x,p\nb,x,p\nc,y,q\nd,y,r", "class 'x' has only one group"),
        ("a,x,p\na,x,q\nc,y,q\nd,y,r", "in the group 'p' in line 2 and in 'q' in line 3"),
    ],
)
def test_groups_that_cannot_be_split_are_refused(tmp_path, rows, message) -> None:
    write_tree(tmp_path, *"abcd")
    (tmp_path / "all.csv").write_text(f"path,label,group\n{rows}\n")
    with pytest.raises(DataError, match=message):
        list_source(DataSource(manifest=str(tmp_path / "all.csv")))


def test_groups_on_both_sides_of_a_source_s_own_split_are_counted_and_named(tmp_path) -> None:
    write_tree(tmp_path, *"abcdefgh")
    rows = "a,x,,p\nb,x,,q\nc,y,,r\nd,y,,s\ne,x,test,q\nf,y,test,t\ng,y,test,s\nh,x,test,\n"
    (tmp_path / "all.csv").write_text(f"path,label,split,group\n{rows}")
    with pytest.raises(DataError, match=r"2 groups of images are both in its training and in its test split: q, s\."):
        list_source(DataSource(manifest=str(tmp_path / "all.csv")))


def test_a_manifest_s_column_names_groups_and_empty_ones_stand_alone(tmp_path) -> None:
    write_tree(tmp_path, *"abcdefgh")
    rows = [("a", "x", " p "), ("b", "x", "p"), ("c", "x", "q"), ("d", "x", ""), *((f, "y", f) for f in "efgh")]
    (tmp_path / "all.csv").write_text("\n".join(["path,label,Group", *map(",".join, rows)]))
    listing = list_source(DataSource(manifest=str(tmp_path / "all.csv")))
    assert [file.group for file in sorted(listing.files, key=lambda file: file.shown)] == ["p", "p", "q", "", *"efgh"]
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = dict(
        zip(
            ("group", "path", "label"),
            zip(*[(group, path, label) for path, label, group in rows], strict=True),
            strict=True,
        )
    )
    parquet.write_table(pyarrow.table({name: list(values) for name, values in columns.items()}), tmp_path / "all.pq")
    assert list_source(DataSource(manifest=str(tmp_path / "all.pq"))).files == listing.files
