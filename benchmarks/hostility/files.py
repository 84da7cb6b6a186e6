"""Sound files of every kind that bakeoff reads, and what is made of them: damaged, and made to harm."""

from __future__ import annotations

import gzip
import io
import os
import random
import shutil
import sqlite3
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import torch
from PIL import Image
from safetensors.numpy import save

from bakeoff.engine.checkpoint_file import write_file
from bakeoff.workspace import Folders, save_predictions

SHAPE = (6, 4, 4)
MEMBER = "gzip/images.gz"
CIFAR_MEMBER, CIFAR_BYTES = "cifar/data.bin", 3 * 3073
WORKSPACE_STUDY = "tiny"


@dataclass(frozen=True)
class HostileFile:
    """One input: what it is read as, its name, its content (a workspace's ledger: the same), and how it was made."""

    kind: str
    name: str
    content: bytes
    how: str


class Harm:
    """A pickle that would leave a mark if it ran."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch PWNED",)


def _idx() -> bytes:
    return bytes([0, 0, 8, 3]) + struct.pack(">3I", *SHAPE) + bytes(range(96))


def _zip(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _tar(members: Mapping[str, bytes], *infos: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for info in infos:
            archive.addfile(info)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _parquet(rows: int, text: str = "good0.png") -> bytes:
    buffer = io.BytesIO()
    numbers = pyarrow.array(np.zeros(rows, np.int32))
    column = pyarrow.DictionaryArray.from_arrays(numbers, pyarrow.array([text]))
    labels = pyarrow.array(["cat", "dog"] * (rows // 2)) if rows < 100 else column
    names = pyarrow.array([f"good{n}.png" for n in range(rows)]) if rows < 100 else column
    pyarrow.parquet.write_table(pyarrow.table({"path": names, "label": labels}), buffer, compression="zstd")
    return buffer.getvalue()


def _torch(content: object, **options: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def encode_image(image_format: str) -> bytes:
    """Return a small picture."""
    pixels = np.random.default_rng(7).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format)
    return buffer.getvalue()


def _written(folder: Path, write: Callable[[Path], object]) -> bytes:
    path = folder / "sound"
    write(path)
    return path.read_bytes()


def make_sound(folder: Path, ledger: bytes) -> dict[str, tuple[str, bytes]]:
    """Return a sound file of every kind: name and content."""
    state = {"weight": torch.arange(12.0).reshape(3, 4), "bias": torch.zeros(3)}
    arrays = {"0": np.arange(8, dtype=np.float32), "1": np.zeros((2, 2))}
    content = {"format": 2, "epoch": 3, "members": {"a" * 24: {"pairs": [["x", {"tensor": 0}], ["y", {"tensor": 1}]]}}}
    scores, labels = np.full((4, 2), 0.5, np.float32), np.array([0, 1, 0, 1])
    csv = "path,label\n" + "".join(f"good{n}.png,{'cat' if n % 2 else 'dog'}\n" for n in range(8))
    return {
        "idx": ("images", _idx()),
        "idx.gz": ("images.gz", gzip.compress(_idx())),
        "zip": ("emnist.zip", _zip({MEMBER: gzip.compress(_idx())})),
        "tar": ("cifar.tar.gz", _tar({CIFAR_MEMBER: bytes(CIFAR_BYTES)})),
        "csv": ("table.csv", csv.encode()),
        "parquet": ("table.parquet", _parquet(8)),
        "png": ("odd.png", encode_image("PNG")),
        "jpeg": ("odd.jpg", encode_image("JPEG")),
        "gif": ("odd.gif", encode_image("GIF")),
        "tiff": ("odd.tif", encode_image("TIFF")),
        "webp": ("odd.webp", encode_image("WEBP")),
        "safetensors": ("weights.safetensors", save({name: tensor.numpy() for name, tensor in state.items()})),
        "pt": ("weights.pt", _torch(state)),
        "legacy pt": ("weights.pt", _torch(state, _use_new_zipfile_serialization=False)),
        "checkpoint": ("checkpoint.safetensors", _written(folder, lambda path: write_file(path, content, arrays))),
        "predictions": (
            "test.npz",
            _written(folder, lambda path: save_predictions(path, scores, labels, labels)),
        ),
        "ledger": ("ledger.sqlite", ledger),
    }


def make_attacks(ledger: bytes, folder: Path) -> Iterator[HostileFile]:
    """Yield files made to harm, each once."""
    zeros = gzip.compress(bytes(2**28))
    yield HostileFile("idx.gz", "images.gz", gzip.compress(_idx() + bytes(2**26)), "gzip bomb")
    yield HostileFile("zip", "emnist.zip", _zip({MEMBER: zeros}), "gzip bomb in a zip")
    yield HostileFile("zip", "emnist.zip", _zip({"../../x": b"x", "/etc/x": b"x"}), "zip traversal")
    yield HostileFile("zip", "emnist.zip", _zip({MEMBER: gzip.compress(_idx())}, zipfile.ZIP_LZMA), "zip by lzma")
    yield HostileFile("zip", "emnist.zip", _zip({f"m{n}": b"" for n in range(20_000)}), "zip of 20,000 members")
    yield from _make_tar_attacks(zeros)
    for rows, text, how in ((200_000_000, "a", "200,000,000 rows"), (4_000_000, "x" * 300_000, "texts of 300 kB")):
        yield HostileFile("parquet", "table.parquet", _parquet(rows, text), f"Parquet bomb: {how}")
    yield HostileFile("csv", "table.csv", b"path,label" * 2_000_000, "a header of 20 MB")
    yield HostileFile("csv", "table.csv", b'path,label\n"' + b"x" * 10_000_000, "a field of 10 MB")
    yield HostileFile("csv", "table.csv", b"path,label\n../../../etc/passwd,cat\n/dev/zero,dog\n", "paths elsewhere")
    yield from _make_weight_attacks()
    yield from _make_ledger_attacks(ledger, folder)


def _make_tar_attacks(zeros: bytes) -> Iterator[HostileFile]:
    link = tarfile.TarInfo(CIFAR_MEMBER)
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    hard = tarfile.TarInfo(CIFAR_MEMBER)
    hard.type, hard.linkname = tarfile.LNKTYPE, "../../x"
    device = tarfile.TarInfo(CIFAR_MEMBER)
    device.type = tarfile.CHRTYPE
    huge = tarfile.TarInfo(CIFAR_MEMBER)
    huge.size = 2**50
    extended = tarfile.TarInfo("././@PaxHeader")
    extended.type, extended.size = tarfile.XHDTYPE, 2**40
    header = extended.tobuf(tarfile.USTAR_FORMAT if extended.size < 2**33 else tarfile.GNU_FORMAT)
    for info, how in ((link, "symbolic link"), (hard, "hard link"), (device, "device")):
        yield HostileFile("tar", "cifar.tar.gz", _tar({}, info), f"tar: {how}")
    yield HostileFile("tar", "cifar.tar.gz", gzip.compress(huge.tobuf(tarfile.GNU_FORMAT)), "tar: a huge member")
    yield HostileFile("tar", "cifar.tar.gz", gzip.compress(header + bytes(2**24)), "tar: a huge header")
    yield HostileFile("tar", "cifar.tar.gz", _tar({"../../x": b"x", "/etc/x": b"x"}), "tar: traversal")
    members = b"".join(tarfile.TarInfo(f"m{number}").tobuf() for number in range(10_000))
    yield HostileFile("tar", "cifar.tar.gz", gzip.compress(members * 100), "tar: 1,000,000 members")
    yield HostileFile("tar", "cifar.tar.gz", zeros * 8, "tar: 2 GiB of nothing")


def _make_weight_attacks() -> Iterator[HostileFile]:
    import pickle

    one = torch.zeros(1)
    for legacy in (False, True):
        options = {"_use_new_zipfile_serialization": not legacy}
        yield HostileFile("pt", "weights.pt", _torch({"a": Harm()}, **options), "a pickle that runs a program")
        wide = torch.as_strided(one, (10**12,), (0,))
        yield HostileFile("pt", "weights.pt", _torch({"a": wide}, **options), "10^12 values of one")
        places = torch.tensor([[0], [0]])
        sparse = torch.sparse_coo_tensor(places, torch.ones(1), (10**6, 10**6), check_invariants=True)
        yield HostileFile("pt", "weights.pt", _torch({"a": sparse}, **options), "a sparse tensor")
    yield HostileFile("pt", "weights.pt", pickle.dumps(Harm()), "a bare pickle that runs a program")
    bomb = b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."
    yield HostileFile("pt", "weights.pt", bomb, "a deeply nested pickle")
    packed = _zip({"archive/data.pkl": b"\x80\x02}.", "archive/data/0": bytes(2**28), "archive/version": b"3\n"})
    yield HostileFile("pt", "weights.pt", packed, "a zip bomb")
    for size, how in ((2**62, "a header of 2^62 bytes"), (2**30, "a header of 2^30 bytes")):
        yield HostileFile("safetensors", "w.safetensors", struct.pack("<Q", size) + b"{" + bytes(99), how)
    far = b'{"a": {"dtype": "F32", "shape": [1000000000000], "data_offsets": [0, 4000000000000]}}'
    yield HostileFile("safetensors", "w.safetensors", struct.pack("<Q", len(far)) + far, "10^12 values promised")
    nested = b'{"a":' * 50_000 + b"1" + b"}" * 50_000
    yield HostileFile("safetensors", "w.safetensors", struct.pack("<Q", len(nested)) + nested, "a nested header")
    yield HostileFile("predictions", "test.npz", _zip({"probabilities.npy": bytes(2**28)}), "a zip bomb")


def _make_ledger_attacks(ledger: bytes, folder: Path) -> Iterator[HostileFile]:
    scripts = {
        "a view that pretends": "ALTER TABLE trials RENAME TO x; CREATE VIEW trials AS SELECT * FROM x",
        "a trigger": "CREATE TRIGGER t AFTER INSERT ON epochs BEGIN UPDATE trials SET metrics = '{}'; END",
        "another program's": "DROP TABLE meta; CREATE TABLE moz_places (id INTEGER)",
        "a table missing": "DROP TABLE placements",
        "a column missing": "ALTER TABLE studies DROP COLUMN command",
        "a word for a version": "UPDATE meta SET value = 'new'",
        "a newer version": "UPDATE meta SET value = '99'",
        "a huge version": "UPDATE meta SET value = '" + "9" * 5000 + "'",
        "nested JSON": "UPDATE studies SET document = '" + "[" * 100_000 + "'",
        "another study": "UPDATE studies SET document = '{}'",
        "NaN for scores": """UPDATE trials SET metrics = '{"validation": {"accuracy": NaN}}'""",
        "text for scores": """UPDATE trials SET metrics = '{"validation": {"accuracy": "x"}}'""",
        "no scores": "UPDATE trials SET metrics = '{}'",
        "bytes for a name": "UPDATE studies SET name = x'00ff'",
        "broken Unicode": "UPDATE studies SET name = CAST(x'ff41' AS TEXT)",
        "an escape in a name": "UPDATE studies SET name = char(27) || '[2J'",
        "bytes for an arm": "UPDATE placements SET arm = x'00ff'",
        "an arm unknown": "UPDATE placements SET arm = 'other'",
        "a huge replicate": "UPDATE placements SET replicate = 9000000000000000000",
        "text for seconds": "UPDATE trials SET seconds = 'long'",
        "facts of nothing": """UPDATE studies SET facts = '{"digits": 3}'""",
        "a machine of nothing": "UPDATE trials SET machine = '[]'",
        "curves of nothing": "UPDATE epochs SET validation = '[1]'",
        "a trial that leads out": "UPDATE placements SET trial_id = '../../etc' WHERE position = 0; "
        "UPDATE trials SET id = '../../etc' WHERE id NOT IN (SELECT trial_id FROM placements)",
        "no rows": "DELETE FROM trials; DELETE FROM studies; DELETE FROM placements",
    }
    for how, script in scripts.items():
        path = folder / "attack.sqlite"
        path.write_bytes(ledger)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA legacy_alter_table=ON")
            connection.executescript(script)
            connection.commit()
        yield HostileFile("ledger", "ledger.sqlite", path.read_bytes(), how)
        path.unlink()


def mutate(content: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Return a content changed in one of the ways in which files break, and which."""
    changed = bytearray(content)
    how = draw.choice(("bits", "cut", "head", "zeros", "repeat", "grow", "drop", "large"))
    place = draw.randrange(max(len(changed), 1))
    if how in ("bits", "head"):
        reach = len(changed) if how == "bits" else min(len(changed), 200)
        for _ in range(draw.randint(1, 12)):
            changed[draw.randrange(reach)] ^= 1 << draw.randrange(8)
    elif how == "cut":
        del changed[place:]
    elif how == "zeros":
        length = min(draw.randint(1, 600), len(changed) - place)
        changed[place : place + length] = bytes(length)
    elif how == "repeat":
        changed[place:place] = changed[place : place + draw.randint(1, 2000)]
    elif how == "grow":
        changed += draw.randbytes(draw.randint(1, 5000))
    elif how == "drop":
        del changed[place : place + draw.randint(1, 50)]
    else:
        changed[place : place + 4] = draw.choice((b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80"))
    return bytes(changed), how


def make_files(count: int, number: int, ledger: bytes, folder: Path) -> Iterator[HostileFile]:
    """Yield every attack, and mutated files of all kinds in turn up to `count`; the same ones for the same `number`."""
    attacks = list(make_attacks(ledger, folder))
    yield from attacks
    draw = random.Random(number)
    sound = make_sound(folder, ledger)
    for kind, (name, content) in sound.items():
        yield HostileFile(kind, name, content, "sound")
    kinds = list(sound)
    for position in range(max(0, count - len(attacks) - len(kinds))):
        kind = kinds[position % len(kinds)]
        name, content = sound[kind]
        changed, how = mutate(content, draw)
        yield HostileFile(kind, name, changed, how)


def make_workspace(folder: Path) -> bytes:
    """Train a tiny study in `folder`; return its ledger in one file, without a write-ahead log beside it."""
    from bakeoff.api import Study, run

    arms = [{"optimizer": ["sgd", "adam"]}]
    recipe = {"network": {"name": "mlp", "units": [8]}, "epochs": 2}
    run(
        Study(question="Which?", name=WORKSPACE_STUDY, recipe=recipe, arms=arms, replicates=2, numeric="float32"),
        workspace=folder,
        workers=1,
    )
    path = Folders(folder).ledger
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    content = path.read_bytes()
    shutil.rmtree(folder / "reports", ignore_errors=True)
    return content
