from __future__ import annotations

import dataclasses
import gzip
import hashlib
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from bakeoff.data import download, registry
from bakeoff.data.download import fetch_file, obtain_dataset
from bakeoff.data.registry import find_dataset
from bakeoff.data.store import open_training
from bakeoff.errors import DataError
from bakeoff.registry import Registry

CONTENT = np.random.default_rng(0).bytes(700_000)


def test_downloads_and_renames_into_place(server, tmp_path: Path) -> None:
    target = tmp_path / "file.gz"
    fetch_file(server.publish("file.gz", CONTENT), target)
    assert target.read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["file.gz"]
    assert server.requests == [("/file.gz", None)]


def test_sha256_is_checked_too(server, tmp_path: Path) -> None:
    file = server.publish("file.gz", CONTENT, checksum=f"sha256:{hashlib.sha256(CONTENT).hexdigest()}")
    fetch_file(file, tmp_path / "file.gz")
    assert (tmp_path / "file.gz").read_bytes() == CONTENT


def test_goes_on_where_a_transfer_broke_off(server, tmp_path: Path) -> None:
    server.cuts = [300_000, 50_000]
    fetch_file(server.publish("file.gz", CONTENT), tmp_path / "file.gz")
    assert (tmp_path / "file.gz").read_bytes() == CONTENT
    assert [requested for _, requested in server.requests] == [None, "bytes=300000-", "bytes=350000-"]


def test_goes_on_from_what_an_earlier_run_left(server, tmp_path: Path) -> None:
    (tmp_path / "file.gz.part").write_bytes(CONTENT[:600_000])
    fetch_file(server.publish("file.gz", CONTENT), tmp_path / "file.gz")
    assert (tmp_path / "file.gz").read_bytes() == CONTENT
    assert server.requests == [("/file.gz", "bytes=600000-")]


def test_starts_again_where_the_server_has_no_ranges(server, tmp_path: Path) -> None:
    server.has_ranges = False
    (tmp_path / "file.gz.part").write_bytes(b"x" * 1000)
    fetch_file(server.publish("file.gz", CONTENT), tmp_path / "file.gz")
    assert (tmp_path / "file.gz").read_bytes() == CONTENT


def test_a_transfer_that_keeps_breaking_off_keeps_what_arrived(server, tmp_path: Path) -> None:
    server.cuts = [1000] * download.MAX_ATTEMPTS
    with pytest.raises(DataError, match=r"broke off at 5,000 of 700,000 bytes.*file\.gz\.part; run again to resume"):
        fetch_file(server.publish("file.gz", CONTENT), tmp_path / "file.gz")
    assert (tmp_path / "file.gz.part").read_bytes() == CONTENT[:5000]
    assert not (tmp_path / "file.gz").exists()


def test_a_wrong_checksum_says_all_and_deletes_nothing(server, tmp_path: Path) -> None:
    file = server.publish("file.gz", CONTENT, checksum="md5:" + "0" * 32)
    found = hashlib.md5(CONTENT).hexdigest()
    pattern = rf"file\.gz\.part has the wrong checksum: expected md5 0{{32}}, got {found}.*remove it and run again"
    for _ in range(2):
        with pytest.raises(DataError, match=pattern):
            fetch_file(file, tmp_path / "file.gz")
        assert (tmp_path / "file.gz.part").read_bytes() == CONTENT
        assert not (tmp_path / "file.gz").exists()
    assert len(server.requests) == 1


def test_another_size_is_refused_before_the_transfer(server, tmp_path: Path) -> None:
    file = dataclasses.replace(server.publish("file.gz", b"<html>please log in</html>"), num_bytes=700_000)
    with pytest.raises(DataError, match=r"offers 26 bytes, but 700,000 are published"):
        fetch_file(file, tmp_path / "file.gz")
    assert list(tmp_path.iterdir()) == []


def test_refused_by_the_server(server, tmp_path: Path) -> None:
    file = dataclasses.replace(server.publish("file.gz", CONTENT), url=server.locate("gone.gz"))
    with pytest.raises(DataError, match=r"gone\.gz was refused: 404 Not Found\. Get file\.gz from .* in another way"):
        fetch_file(file, tmp_path / "file.gz")


def test_only_http_is_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    file = registry.PublishedFile(path="file.gz", url=secret.as_uri(), checksum="md5:" + "0" * 32, num_bytes=10)
    with pytest.raises(DataError, match="not an http or https address"):
        fetch_file(file, tmp_path / "file.gz")


@pytest.fixture
def publish(small, server, write_mnist, monkeypatch):
    """Offer MNIST's four files on the server (or at a given address); return the original images."""

    def run(base: str | None = None):
        written = write_mnist(zipped=True)
        files = []
        for file in sorted((written.root / "MNIST/raw").iterdir(), reverse=True):
            published = server.publish(f"MNIST/raw/{file.name}", file.read_bytes())
            files.append(dataclasses.replace(published, url=base + file.name) if base else published)
            file.unlink()
        record = dataclasses.replace(find_dataset("mnist"), files=tuple(files))
        monkeypatch.setattr(registry, "DATASETS", Registry("dataset", [record]))
        return written

    return run


def test_a_whole_dataset_is_fetched_where_it_belongs(publish, server, tmp_path: Path) -> None:
    written = publish()
    root, downloaded = obtain_dataset(find_dataset("mnist"), tmp_path / "there")
    assert root == tmp_path / "there"
    assert sorted(path.name for path in (root / "MNIST/raw").iterdir()) == sorted(path.name for path in downloaded)
    assert len(downloaded) == 4
    assert obtain_dataset(find_dataset("mnist"), root) == (root, ())
    images = open_training("mnist", root)
    np.testing.assert_array_equal(images.pixels, written.pixels["train"])


def test_only_what_is_missing_is_fetched(publish, server, tmp_path: Path) -> None:
    publish()
    raw = tmp_path / "there/MNIST/raw"
    raw.mkdir(parents=True)
    name = "train-images-idx3-ubyte"
    (raw / name).write_bytes(gzip.decompress(server.files[f"/MNIST/raw/{name}.gz"]))
    _, downloaded = obtain_dataset(find_dataset("mnist"), tmp_path / "there")
    assert sorted(path.name[:7] for path in downloaded) == ["t10k-im", "t10k-la", "train-l"]


def test_opening_downloads_into_the_cache(publish, cache: Path) -> None:
    written = publish()
    np.testing.assert_array_equal(open_training("mnist").labels, written.labels["train"])
    assert (cache / "downloads/MNIST/raw/train-labels-idx1-ubyte.gz").is_file()


def test_two_at_once_download_once(publish, server, tmp_path: Path) -> None:
    publish()
    record = find_dataset("mnist")
    threads = [threading.Thread(target=obtain_dataset, args=(record, tmp_path / "there")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 4


def test_offline_says_where_to_put_which_file(publish, cache: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{unused.getsockname()[1]}"
    publish(f"http://{host}/")
    with pytest.raises(DataError) as caught:
        open_training("mnist")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{host} cannot be reached (")
    assert f"http://{host}/train-labels-idx1-ubyte.gz" in message
    assert f"put it into {cache / 'downloads/MNIST/raw'}" in message
    assert "--data-dir or BAKEOFF_DATA" in message


def test_a_pickled_cifar_is_mentioned(small, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    file = registry.PublishedFile(path="a.tar.gz", url="file:///a.tar.gz", checksum="md5:0", num_bytes=1)
    record = dataclasses.replace(find_dataset("cifar10"), files=(file,))
    with pytest.raises(DataError, match=r"cifar-10-batches-py is the pickled version, which is never read"):
        obtain_dataset(record, tmp_path)


def test_an_unwritable_folder_is_named(publish, tmp_path: Path) -> None:
    publish()
    (tmp_path / "there").write_text("a file, not a folder")
    with pytest.raises(DataError, match=r"cannot be written: .*there.*Choose another folder with --data-dir"):
        obtain_dataset(find_dataset("mnist"), tmp_path / "there")


def test_a_terminal_gets_a_bar_and_a_pipe_nothing(server, tmp_path: Path, monkeypatch, capsys) -> None:
    file = server.publish("file.gz", CONTENT)
    fetch_file(file, tmp_path / "quiet.gz")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    fetch_file(file, tmp_path / "loud.gz")
    out, err = capsys.readouterr()
    assert out == ""
    assert "file.gz" in err
    assert "700.0/700.0 kB" in err
