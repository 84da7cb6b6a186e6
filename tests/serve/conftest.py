"""A workspace with a study under way, and a server that shows it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from bakeoff.ledger.store import Ledger, Placement
from bakeoff.messages import EpochDone, TrialDone
from bakeoff.serve.app import make_app
from bakeoff.serve.connections import make_server
from bakeoff.serve.server import listen
from bakeoff.study.schema import Study
from bakeoff.workspace import Folders

ATTACK = "<script>alert('x')</script>"
ARMS = (f"adam {ATTACK}", 'b"</title><img src=x onerror=alert(1)>')
BLOCKS = (f"small {ATTACK}", "large & [red]")
STUDY = "ab" * 32


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def document(self) -> Any:
        return json.loads(self.text)


Ask = Callable[..., Reply]


def write_epochs(ledger: Ledger, trial_id: str, first: int, last: int) -> None:
    for number in range(first, last + 1):
        values = {"loss": 1.0 / number, "accuracy": 1 - 0.5 / number}
        ledger.record_epoch(
            EpochDone(
                trial_id=trial_id,
                epoch=number,
                train=values,
                validation=values,
                seconds=0.1,
                images_per_second=1000.0,
            )
        )


def write_study(ledger: Ledger, name: str = f"study {ATTACK}") -> None:
    """Two blocks and two arms: in each block the first arm's first replicate is done, the second's started."""
    study = Study(
        name="tiny",  # a ledger made elsewhere may hold any name, but a study file may not
        question=f"Which {ATTACK}?",
        recipe={"network": "mlp"},
        blocks=[{label: {"batch_size": 8 * 2**n} for n, label in enumerate(BLOCKS)}],
        arms=[{label: {"optimizer": each} for label, each in zip(ARMS, ("adam", "sgd"), strict=True)}],
        replicates=2,
    )
    ledger.register_study(
        STUDY,
        name=name,
        document=study.model_dump(mode="json"),
        placements=[
            Placement(f"{block}{arm}{replicate}", BLOCKS[block], ARMS[arm], replicate)
            for block in (0, 1)
            for replicate in (0, 1)
            for arm in (0, 1)
        ],
        numeric="float32",
        command=f"bakeoff run {ATTACK}",
        facts={
            block: {"shape_HWC": [8, 8, 1], "num_images": 100, "class_names": ["0", "1"], "fingerprint": "f"}
            for block in BLOCKS
        },
    )
    for block in (0, 1):
        write_epochs(ledger, f"{block}00", 1, 4)
        write_epochs(ledger, f"{block}10", 1, 2)
        values = {"accuracy": 0.9, "loss": 0.2}
        event = TrialDone(
            trial_id=f"{block}00",
            num_epochs=4,
            best_epoch=4,
            stop="epochs",
            seconds=1.0,
            num_parameters=10,
            metrics={"train": values, "validation": values},
        )
        ledger.record_done(event, {"recipe": {}}, "c", json.dumps({"processor": "x"}))


@pytest.fixture
def study(ledger: Ledger) -> Ledger:
    """The ledger of a workspace with one study under way."""
    write_study(ledger)
    return ledger


@pytest.fixture
def port(folders: Folders) -> Iterator[int]:
    """Serve the workspace on loopback, in a thread of this process."""
    with closing(listen("127.0.0.1", 0)) as listener:
        server = make_server(make_app(folders.root, "127.0.0.1"), print)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def ask(port: int) -> Ask:
    """Return a function that asks the server: path, and headers by their names."""

    def send(path: str, method: str = "GET", headers: dict[str, str] | None = None) -> Reply:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            connection.request(method, path, headers=headers or {})
            reply = connection.getresponse()
            text = reply.read().decode()
            return Reply(reply.status, {name.lower(): value for name, value in reply.getheaders()}, text)

    return send
