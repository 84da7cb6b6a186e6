"""Small files in the exact published formats, an isolated cache, and a server that can break off."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import http.server
import io
import re
import struct
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from bakeoff.data import registry
from bakeoff.registry import Registry

NUM_TRAIN, NUM_TEST = 20, 10
Bytes = npt.NDArray[np.uint8]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing outside the test's own folder is read or written."""
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BAKEOFF_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registered datasets, with 20 training and 10 test images each and nowhere to download from."""
    records = tuple(
        record
        if record.name == "digits"
        else dataclasses.replace(record, num_train=NUM_TRAIN, num_test=NUM_TEST, files=())
        for record in registry.DATASETS
    )
    monkeypatch.setattr(registry, "DATASETS", Registry("dataset", records))


def make_idx(values: Bytes) -> bytes:
    """IDX by its definition: 0, 0, type code 8, number of dimensions, dimensions big-endian, values."""
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def make_images(num_images: int, shape: tuple[int, int, int], num_classes: int, seed: int) -> tuple[Bytes, Bytes]:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (num_images, *shape), dtype=np.uint8)
    return pixels, (np.arange(num_images) % num_classes).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Written:
    """What a writer put below `root`: pixels [n, H, W, C] and labels [n] by split."""

    root: Path
    pixels: dict[str, Bytes]
    labels: dict[str, Bytes]


@pytest.fixture
def write_mnist(tmp_path: Path) -> Callable[..., Written]:
    def write(folder: str = "MNIST/raw", *, root: Path | None = None, zipped: bool = False) -> Written:
        root = root or tmp_path / "data"
        (root / folder).mkdir(parents=True, exist_ok=True)
        written = Written(root, {}, {})
        for number, (split, stem, count) in enumerate((("train", "train", NUM_TRAIN), ("test", "t10k", NUM_TEST))):
            pixels, labels = make_images(count, (28, 28, 1), 10, seed=number)
            written.pixels[split], written.labels[split] = pixels, labels
            for kind, values in (("images-idx3", pixels[..., 0]), ("labels-idx1", labels)):
                path = root / folder / f"{stem}-{kind}-ubyte"
                content = make_idx(values)
                if zipped:
                    path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
                else:
                    path.write_bytes(content)
        return written

    return write


@pytest.fixture
def write_cifar(tmp_path: Path) -> Callable[..., Written]:
    """Writes CIFAR-10 (5 + 1 files of records of 1 + 3072 bytes) or CIFAR-100 (1 + 1 files of 2 + 3072 bytes)."""

    def write(name: str = "cifar10", *, archived: bool = False) -> Written:
        root = tmp_path / "data"
        root.mkdir(exist_ok=True)
        written = Written(root, {}, {})
        members: dict[str, bytes] = {}
        num_classes = 10 if name == "cifar10" else 100
        names = {"train": [f"data_batch_{n}.bin" for n in range(1, 6)], "test": ["test_batch.bin"]}
        if name == "cifar100":
            names = {"train": ["train.bin"], "test": ["test.bin"]}
            members["fine_label_names.txt"] = "".join(f"fine{n}\n" for n in range(100)).encode()
        for number, (split, count) in enumerate((("train", NUM_TRAIN), ("test", NUM_TEST))):
            pixels, labels = make_images(count, (32, 32, 3), num_classes, seed=number)
            labels = (labels + 79 * (name == "cifar100")).astype(np.uint8)
            written.pixels[split], written.labels[split] = pixels, labels
            records = [
                bytes([7] * (name == "cifar100") + [label]) + image.transpose(2, 0, 1).tobytes()
                for image, label in zip(pixels, labels, strict=True)
            ]
            size = count // len(names[split])
            for batch, file in enumerate(names[split]):
                members[file] = b"".join(records[batch * size : (batch + 1) * size])
        folder = "cifar-10-batches-bin" if name == "cifar10" else "cifar-100-binary"
        if archived:
            archive = root / ("cifar-10-binary.tar.gz" if name == "cifar10" else "cifar-100-binary.tar.gz")
            archive.write_bytes(make_archive({f"{folder}/{member}": content for member, content in members.items()}))
        else:
            (root / folder).mkdir(exist_ok=True)
            for member, content in members.items():
                (root / folder / member).write_bytes(content)
        return written

    return write


def make_archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` by path with Range; `cuts` are the bytes after which coming answers break off."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.cuts: list[int] = []
        self.has_ranges = True
        self.requests: list[tuple[str, str | None]] = []

    def locate(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def publish(self, path: str, content: bytes, *, checksum: str | None = None) -> registry.PublishedFile:
        self.files[f"/{path}"] = content
        checksum = checksum or f"md5:{hashlib.md5(content).hexdigest()}"
        return registry.PublishedFile(path=path, url=self.locate(path), checksum=checksum, num_bytes=len(content))


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        requested = self.headers.get("Range")
        self.server.requests.append((self.path, requested))
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = 0
        if requested and self.server.has_ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", requested)[1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts else len(content)
        self.wfile.write(content[start : start + cut])


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def idx() -> Callable[[Bytes], bytes]:
    return make_idx


@pytest.fixture
def archive() -> Callable[[dict[str, bytes]], bytes]:
    return make_archive


@pytest.fixture
def write_pictures(tmp_path: Path) -> Callable[..., Path]:
    """Writes class folders of PNG files, each image different; returns the folder that holds them."""
    from PIL import Image

    def write(
        classes: dict[str, int] | None = None, *, folder: str = "pets", size: tuple[int, int] = (6, 5), mode: str = "L"
    ) -> Path:
        root = tmp_path / folder
        for number, (name, count) in enumerate((classes or {"cat": 5, "dog": 5}).items()):
            (root / name).mkdir(parents=True, exist_ok=True)
            generator = np.random.default_rng(number if folder == "pets" else [number, *folder.encode()])
            for index in range(count):
                shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
                pixels = generator.integers(0, 256, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(root / name / f"{index:03d}.png")
        return root

    return write
