"""A Ray cluster of two nodes on this machine: the numbers of a local run, also when a node dies in the middle."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from bakeoff.api import Study, run
from bakeoff.errors import BakeoffError
from bakeoff.extras import how_to_install
from bakeoff.ledger.read import open_reading
from bakeoff.report.progress import RunProgress
from bakeoff.workspace import Folders

PATIENCE_SECONDS = 120.0
"""Until a test gives up. Nothing here measures time."""

STUDY: dict[str, Any] = {
    "question": "?",
    "name": "small",
    "recipe": {"network": {"name": "mlp", "units": [8]}, "epochs": 30, "batch_size": 64},
    "arms": [{"optimizer.learning_rate": [0.01, 0.1]}],
    "replicates": 4,
    "numeric": "float32",
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    pytest.importorskip("ray", reason="Ray is an extra: pip install 'bakeoff[ray]'")
    import ray
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_raylet_start_wait_time_s", "120")  # a busy machine takes more than the usual 30
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
        yield made
        ray.shutdown()
        made.shutdown()


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_gives_the_numbers_of_this_machine_also_when_a_node_dies(
    cluster: Any, in_process: object, read_numbers: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    run(Study.model_validate(STUDY), workspace=tmp_path / "local")
    node = cluster.add_node(num_cpus=2)
    workspace = tmp_path / "ray"
    killer = threading.Thread(target=kill_when, args=(cluster, node, workspace, 40))
    killer.start()
    result = run(Study.model_validate(STUDY), workspace=workspace, executor="ray", observer=RunProgress(quiet=True))
    killer.join()
    assert result.state == "done"
    found, expected = (read_numbers(each, without=["cohort_id"]) for each in (workspace, tmp_path / "local"))
    assert found == expected
    assert list(Folders(workspace).checkpoints.iterdir()) == []


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_computes_the_features_of_this_machine(
    cluster: Any, in_process: object, read_numbers: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    weights = {"0.weight": (8, 64), "0.bias": (8,), "1.weight": (10, 8), "1.bias": (10,)}
    save_file({name: np.full(shape, 0.1, np.float32) for name, shape in weights.items()}, tmp_path / "w.safetensors")
    transfer = {"weights": {"file": str(tmp_path / "w.safetensors")}, "freeze": "always", "feature_draws": 2}
    recipe = {**STUDY["recipe"], "epochs": 3, "transfer": transfer, "augmentation": ["horizontal_flip"]}
    study = Study.model_validate({**STUDY, "recipe": recipe, "replicates": 2})
    local, remote = tmp_path / "local", tmp_path / "ray"
    run(study, workspace=local)
    cluster.add_node(num_cpus=2)
    run(study, workspace=remote, executor="ray", observer=RunProgress(quiet=True))
    assert read_numbers(remote) == read_numbers(local)
    kept, expected = (
        {path.parent.name: path.read_bytes() for path in (each / "features").rglob("features.npy")}
        for each in (remote, local)
    )
    assert kept == expected
    assert len(kept) == 6


def kill_when(cluster: Any, node: Any, workspace: Path, num_epochs: int) -> None:
    """Kill a node once the ledger holds so many epochs."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            with open_reading(Folders(workspace)) as connection:
                if connection.execute("SELECT COUNT(*) FROM epochs").fetchone()[0] >= num_epochs:
                    break
        except BakeoffError:
            pass  # there is no ledger yet
        time.sleep(0.02)
    cluster.remove_node(node, allow_graceful=False)


def test_without_ray_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BakeoffError) as raised:
        run(Study.model_validate(STUDY), workspace=tmp_path, executor="ray")
    assert str(raised.value).startswith("--executor ray ")
    assert how_to_install("ray") in str(raised.value)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        (
            "ray://127.0.0.1:10001",
            "--address ray://127.0.0.1:10001: Ray Client ",
        ),
        ("127.0.0.1:1", "no Ray cluster at 127.0.0.1:1: Connection refused."),
        ("127.0.0.1:99999", "no Ray cluster at 127.0.0.1:99999: "),
    ],
    ids=["client", "nobody there", "no such port"],
)
def test_an_address_that_leads_nowhere_is_one_line_at_once(tmp_path: Path, address: str, says: str) -> None:
    pytest.importorskip("ray", reason="Ray is an extra: pip install 'bakeoff[ray]'")
    from bakeoff.driver.executors import ray_executor

    with pytest.raises(BakeoffError) as raised:
        ray_executor._check_address(address)
    assert str(raised.value).startswith(says)
    assert "\n" not in str(raised.value)
