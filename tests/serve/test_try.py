"""Photos are classified for the server's own page on this machine, and for no one else."""

from __future__ import annotations

import asyncio
import http.client
import io
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.requests import Request

from bakeoff.api import Study, run
from bakeoff.deploy.predictor import Predictor
from bakeoff.errors import BakeoffError
from bakeoff.serve import try_photo
from bakeoff.serve.app import make_app
from bakeoff.serve.connections import make_server
from bakeoff.serve.guard import Guard
from bakeoff.serve.server import listen
from tests.serve.conftest import STUDY, Ask, Reply

pytestmark = pytest.mark.usefixtures("shared_cache", "in_process")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("try") / "runs"
    study = Study(
        question="Which?",
        name="digits",
        recipe={"network": {"name": "mlp", "units": [8]}, "epochs": 1, "batch_size": 64},
        arms=[{"a": {"optimizer": "adam"}, "b": {"optimizer": "sgd"}}],
        replicates=2,
        numeric="float32",
    )
    run(study, workspace=root, workers=1)
    return root


@pytest.fixture(scope="module")
def served(workspace: Path) -> Iterator[int]:
    with closing(listen("127.0.0.1", 0)) as listener:
        server = make_server(make_app(workspace, "127.0.0.1"), print)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(30)


def _make_photo() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


def _send(port: int, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Reply:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request(method, path, body or None, {name.replace("_", "-"): text for name, text in headers.items()})
        reply = connection.getresponse()
        text = reply.read().decode()
        return Reply(reply.status, {name.lower(): value for name, value in reply.getheaders()}, text)


def _find_study(workspace: Path) -> str:
    from bakeoff.api import list_status

    return list_status(workspace)[0].study_id


def _classify(port: int, study_id: str, body: bytes, **headers: str) -> Reply:
    own = {"Origin": f"http://127.0.0.1:{port}", "Content_Type": "application/octet-stream"}
    return _send(port, f"/study/{study_id}/classify", "POST", body, **{**own, **headers})


def test_a_photo_is_classified_as_predict_does(workspace: Path, served: int, tmp_path: Path) -> None:
    study_id, photo = _find_study(workspace), _make_photo()
    page = _send(served, f"/study/{study_id}/try")
    assert (page.status, "Try a photo" in page.text) == (200, True)
    reply = _classify(served, study_id, photo)
    assert reply.status == 200
    (tmp_path / "photo.jpg").write_bytes(photo)
    expected = sorted(Predictor.load("digits", workspace).predict_proba(tmp_path / "photo.jpg")[0], reverse=True)
    found = [each["probability"] for each in reply.document["classes"]]
    np.testing.assert_allclose(found, expected[: len(found)], rtol=1e-6)
    assert reply.document["known"]


def test_a_client_that_leaves_is_no_error_of_the_server() -> None:
    async def leave() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    request = Request({"type": "http", "method": "POST", "headers": []}, leave)
    with pytest.raises(BakeoffError, match="connection ended"):
        asyncio.run(try_photo.read_photo(request))


def test_what_is_no_photo_gets_a_line(workspace: Path, served: int, monkeypatch: pytest.MonkeyPatch) -> None:
    study_id = _find_study(workspace)
    assert _classify(served, study_id, b"no image").status == 422
    monkeypatch.setattr(try_photo, "MAX_BYTES", 10)
    assert _classify(served, study_id, _make_photo()).status == 413
    assert _classify(served, "0" * 64, _make_photo()).status == 404


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Content_Type": "text/plain"}, {"Sec_Fetch_Site": "cross-site"}],
)
def test_other_sites_cannot_send_photos(workspace: Path, served: int, headers: dict[str, str]) -> None:
    assert _classify(served, _find_study(workspace), _make_photo(), **headers).status == 403


def test_a_request_without_an_origin_is_refused(workspace: Path, served: int) -> None:
    path = f"/study/{_find_study(workspace)}/classify"
    assert _send(served, path, "POST", _make_photo(), Content_Type="application/octet-stream").status == 403


def test_only_on_loopback() -> None:
    from starlette.datastructures import Headers

    headers = Headers(
        {"host": "10.0.0.1:80", "origin": "http://10.0.0.1:80", "content-type": "application/octet-stream"}
    )
    refusal = Guard(lambda *_: None, "10.0.0.1")._refuse("POST", f"/study/{STUDY}/classify", headers)  # type: ignore[arg-type,return-value]
    assert refusal is not None
    assert refusal.status_code == 405


@pytest.mark.usefixtures("study")
def test_before_anything_is_trained(ask: Ask) -> None:
    reply = ask(f"/study/{STUDY}/try")
    assert reply.status == 200
    assert "No model to try yet" in reply.text
