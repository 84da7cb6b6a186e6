from __future__ import annotations

from pathlib import Path

import pytest

from bakeoff.data.manifest import list_manifest
from bakeoff.errors import DataError


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "sub/c.png", "d.png"):
        (tmp_path / "list" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "list" / name).write_bytes(b"never opened")
    return tmp_path / "list"


def write(folder: Path, text: str | bytes, name: str = "all.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(listing) -> list[tuple[str, str, str]]:
    return [(file.shown, file.class_name, file.part) for file in listing.files]


def test_paths_are_relative_to_the_manifest_or_absolute(images: Path, tmp_path: Path) -> None:
    (tmp_path / "e.png").write_bytes(b"x")
    text = f"path,label\na.png,cat\n../e.png,dog\nsub/c.png,cat\n{images}/d.png,dog\n"
    listing = list_manifest(write(images, text))
    assert [(Path(file.path).resolve().name, file.class_name) for file in listing.files] == [
        ("a.png", "cat"),
        ("c.png", "cat"),
        ("e.png", "dog"),
        ("d.png", "dog"),
    ]
    assert not listing.has_test


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_tables_as_spreadsheets_write_them(images: Path, mark: str) -> None:
    rows = [["Label", "comment", " Path ", "SPLIT"], [" cat ", "", "a.png", "Train"], ["dog", '"x\ny"', "b.png", ""]]
    rows += [["", "", "", ""], ["cat", "", "sub/c.png", "VAL"], ["dog", "", "d.png", "testing"]]
    text = "\ufeff" + "\r\n".join(mark.join(row) for row in rows)
    assert read(list_manifest(write(images, text))) == [
        ("a.png", "cat", "train"),
        ("b.png", "dog", "train"),
        ("sub/c.png", "cat", "validation"),
        ("d.png", "dog", "test"),
    ]


def test_missing_files_and_repeated_rows_are_said(images: Path) -> None:
    text = "path,label,split\na.png,cat,\nb.png,dog,\n./a.png,cat,train\nno.png,dog,\nsub,cat,test\nd.png,dog,test\n"
    listing = list_manifest(write(images, text))
    assert [(item.shown, item.reason, item.part) for item in listing.rejected] == [
        ("no.png", "missing", "train"),
        ("sub", "not a file", "test"),
    ]
    assert listing.notes == ("1 rows repeat an earlier one and are left out",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column path"),
        ("path,label\n", "has no rows"),
        ("\n\n", "has no column path"),
        ("pth,label\na.png,cat\n", "no column path. Did you mean 'pth'.* it names: pth, label"),
        ("path,class\na.png,cat\n", "no column label"),
        ("path,label,path\na.png,cat,b.png\n", "2 columns called path"),
        ("path,label\na.png\nb.png,dog\n", "1 wrong rows: line 2: no label for a.png"),
        ("path,label\n,cat\nb.png,dog\n", "line 2: no path"),
        (
            "path,label\na\0.png,cat\nb.png,dog\n",
            r"line 2: the path a\\x00.png contains a null character|line contains NUL",
        ),
        ("path,label,split\na.png,cat,trian\n", "unknown split 'trian'. Did you mean 'train'"),
        ('path,label\n"a.png,cat\n', "not well-formed CSV"),
        ("path,label\n" + "a" * 200_000 + ",cat\n", "line 2 is longer than 100,000 characters"),
        ("path,label\na.png,cat\na.png,dog\n", "labelled 'cat' in line 2 and 'dog' in line 3"),
        ("path,label,split\na.png,cat,train\nsub/../a.png,cat,test\n", "in the train part in line 2 and in the test"),
        (
            "path,label\nx.png,cat\ny\x1b.png,dog\na.png,cat\n",
            r"2 of its 3 files cannot be opened: x.png \(missing\), y",
        ),
        ("path,label\na.png,cat\nb.png,cat\n", "only one class, 'cat'"),
        ("path,label\na.png,cat\nb.png,Cat\n", "only in upper and lower case"),
        ("path,label,split\na.png,cat,test\nb.png,dog,test\n", "no training images"),
        ("path,label,split\na.png,cat,\nb.png,dog,\nd.png,cow,test\n", "'cow' .* which has no training images"),
        (b"path,label\n\xff\xfe.png,cat\n", "not UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not UTF-8"),
    ],
)
def test_refuses(images: Path, text, message) -> None:
    with pytest.raises(DataError, match=message) as caught:
        list_manifest(write(images, text))
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_many_wrong_rows_are_counted(images: Path) -> None:
    text = "path,label\n" + "a.png,\n" * 25
    with pytest.raises(DataError, match=r"25 wrong rows: line 2: .*line 11: no label for a.png and 15 more"):
        list_manifest(write(images, text))


def test_parquet_needs_pyarrow(images: Path) -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        with pytest.raises(DataError, match=r'pip install "bakeoff\[parquet\]"'):
            list_manifest(write(images, b"PAR1", "all.parquet"))


def test_parquet(images: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = arrow.table({"label": [7, 8, 7], "path": ["a.png", "b.png", "d.png"], "split": [None, "train", "test"]})
    parquet.write_table(table, images / "all.parquet")
    listing = list_manifest(images / "all.parquet")
    assert read(listing) == [("a.png", "7", "train"), ("b.png", "8", "train"), ("d.png", "7", "test")]
    text = arrow.table({"label": arrow.array(["x", "y"]).dictionary_encode(), "path": ["a.png", "b.png"]})
    parquet.write_table(text, images / "all.pq")
    assert list_manifest(images / "all.pq").class_names == ("x", "y")


def test_malformed_parquet(images: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for content in (b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"):
        with pytest.raises(DataError, match="not a readable Parquet file"):
            list_manifest(write(images, content, "all.parquet"))
    parquet.write_table(arrow.table({"path": ["a.png"], "lable": ["cat"]}), images / "all.parquet")
    with pytest.raises(DataError, match="no column label"):
        list_manifest(images / "all.parquet")
    parquet.write_table(arrow.table({"path": ["a.png", None], "label": [0.5, 1.0]}), images / "all.parquet")
    with pytest.raises(DataError, match=r"2 wrong rows: row 1: no label for a\.png; row 2: no path"):
        list_manifest(images / "all.parquet")
