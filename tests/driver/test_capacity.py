"""How many workers a machine carries: control groups of both versions in trees of files, and memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bakeoff import cgroups
from bakeoff.cgroups import read_cpu_quota, read_memory_left, read_memory_limit
from bakeoff.driver import capacity
from bakeoff.driver.capacity import count_fitting
from bakeoff.driver.devices import CPU_DEVICE, Device
from bakeoff.driver.estimate import count_workers
from bakeoff.driver.facts import describe_datasets
from bakeoff.study.plan import Plan

V2 = {
    "proc/self/cgroup": "0::/user.slice/job.scope\n",
    "proc/self/mountinfo": "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
}
V1 = {
    "proc/self/cgroup": "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n",
    "proc/self/mountinfo": (
        "32 31 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
        "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    ),
}
NESTED = "sys/fs/cgroup/user.slice"
GIB = 2**30


def write_tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({**V2, f"{NESTED}/job.scope/cpu.max": "max 100000\n"}, None),
        ({**V2, f"{NESTED}/job.scope/cpu.max": "150000 100000\n"}, 1.5),
        ({**V2, f"{NESTED}/job.scope/cpu.max": "max 100000\n", f"{NESTED}/cpu.max": "200000 100000\n"}, 2.0),
        ({**V2, f"{NESTED}/job.scope/cpu.max": "400000 100000\n", f"{NESTED}/cpu.max": "50000 100000\n"}, 0.5),
        ({**V1, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n"}, None),
        ({**V1, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "300000\n"}, 3.0),
        ({**V2, "proc/self/cgroup": "0::/../../outside\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1.0),
    ],
    ids=["none", "v2 max", "v2", "v2 above", "v2 least above", "v1 none", "v1", "v2 namespace"],
)
def test_cpu_quota(files: dict[str, str], expected: float | None, tmp_path: Path) -> None:
    write_tree(tmp_path, {**files, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n"})
    assert read_cpu_quota(tmp_path) == expected


@pytest.mark.parametrize("name", ["proc/self/cgroup", "proc/self/mountinfo", f"{NESTED}/job.scope/cpu.max"])
def test_what_cannot_be_understood_is_no_limit(name: str, tmp_path: Path) -> None:
    write_tree(tmp_path, {**V2, f"{NESTED}/job.scope/cpu.max": "100000 100000\n", name: "- nothing\n that is : known"})
    assert (read_cpu_quota(tmp_path), read_memory_left(tmp_path)) == (None, None)


def test_memory_of_version_2_is_the_least_that_any_group_leaves(tmp_path: Path) -> None:
    own = {"memory.max": f"{8 * GIB}\n", "memory.current": f"{3 * GIB}\n", "memory.stat": f"inactive_file {GIB}\n"}
    above = {"memory.max": f"{9 * GIB}\n", "memory.current": f"{7 * GIB}\n", "memory.stat": "inactive_file 0\n"}
    files = {f"{NESTED}/job.scope/{name}": text for name, text in own.items()}
    files |= {f"{NESTED}/{name}": text for name, text in above.items()}
    write_tree(tmp_path, {**V2, **files})
    assert (read_memory_limit(tmp_path), read_memory_left(tmp_path)) == (8 * GIB, 2 * GIB)


@pytest.mark.parametrize(
    ("limit", "expected"), [(4 * GIB, (4 * GIB, 3 * GIB)), (9223372036854771712, (None, None))], ids=["limit", "none"]
)
def test_memory_of_version_1(limit: int, expected: tuple[int | None, int | None], tmp_path: Path) -> None:
    files = {
        "memory.limit_in_bytes": f"{limit}\n",
        "memory.usage_in_bytes": f"{2 * GIB}\n",
        "memory.stat": f"inactive_file 5\ntotal_inactive_file {GIB}\n",
    }
    write_tree(tmp_path, {**V1, **{f"sys/fs/cgroup/memory/{name}": text for name, text in files.items()}})
    assert (read_memory_limit(tmp_path), read_memory_left(tmp_path)) == expected


@pytest.mark.parametrize(("quota", "expected"), [(None, 8), (0.5, 1), (1.5, 2), (4.0, 4), (64.0, 8)])
def test_a_quota_counts_as_cores(quota: float | None, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "read_cpu_quota", lambda: quota)
    monkeypatch.setattr(cgroups, "count_available_cores", lambda: 8)
    assert cgroups.count_cores() == expected


def test_no_more_workers_than_memory_carries(make_plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(arms=2)
    monkeypatch.setattr("bakeoff.driver.estimate.count_cores", lambda: 8)
    monkeypatch.setattr(capacity, "read_free_bytes", lambda: 2 * GIB)
    known = describe_datasets(plan.blocks, None)
    carried = count_fitting(plan, known, CPU_DEVICE)
    assert carried == 4  # 0.9 x 2048 MiB in workers of 400 MiB and next to nothing
    number, text = count_workers(None, CPU_DEVICE, plan, known)
    assert number == carried
    assert "4 of 8 workers" in text
    number, text = count_workers(6, CPU_DEVICE, plan, known)
    assert number == 6, "a request wins"
    assert " 4 workers" in text
    assert " 6 " in text
    assert count_workers(4, CPU_DEVICE, plan, known) == (4, "")
    assert count_fitting(plan, known, Device("cuda", (0,), "GPU", 80 * GIB)) == 1


def test_a_large_network_takes_more(make_plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "read_free_bytes", lambda: 8 * GIB)
    small = make_plan()
    large = make_plan(recipe={"network": "modnet2", "batch_size": 512}, data={"name": "cifar10"})
    outside = make_plan(arms=1, recipe={"network": "torchvision:resnet18", "batch_size": 256}, data={"name": "cifar10"})
    carried = [
        count_fitting(plan, describe_datasets(plan.blocks, None), CPU_DEVICE) for plan in (small, large, outside)
    ]
    assert carried[0] > 2 * carried[1]
    assert carried[0] > carried[2]
