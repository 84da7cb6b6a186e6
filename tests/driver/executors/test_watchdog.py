"""The watchdog: slow is not stuck."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from bakeoff.driver.executors.watchdog import LOOK_EVERY_SECONDS, Watchdog, measure_cpu_seconds


class Scene:
    """A clock and the processor time of one worker, both moved by hand."""

    def __init__(self) -> None:
        self.now, self.used = 1_000.0, 7.0
        self.watchdog = Watchdog(60.0, lambda: self.now, lambda process_id: self.used)

    def pass_time(self, seconds: float, share: float, step: float = LOOK_EVERY_SECONDS) -> list[int]:
        """Let time pass, a share of it spent computing; return who was found stuck meanwhile."""
        found: list[int] = []
        for _ in range(round(seconds / step)):
            self.now += step
            self.used += share * step
            found += self.watchdog.find_stuck([1])
        return found


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_who_computes_is_never_stuck(scene: Scene) -> None:
    assert scene.pass_time(100_000, share=0.05) == []


def test_who_does_nothing_is_stuck_after_a_while(scene: Scene) -> None:
    assert scene.pass_time(55, share=0.0) == []
    assert scene.pass_time(20, share=0.0)[:1] == [1]


def test_a_report_or_some_computing_starts_the_wait_anew(scene: Scene) -> None:
    for _ in range(5):
        assert scene.pass_time(50, share=0.0) == []
        scene.watchdog.hear(1)
        assert scene.pass_time(50, share=0.0) == []
        assert scene.pass_time(10, share=0.5) == []


def test_the_time_a_suspended_driver_was_away_does_not_count(scene: Scene) -> None:
    scene.pass_time(20, share=0.0)
    assert scene.pass_time(36_000, share=0.0, step=36_000) == []


def test_a_worker_that_is_idle_is_not_watched(scene: Scene) -> None:
    scene.pass_time(55, share=0.0)
    scene.now += 10
    assert scene.watchdog.find_stuck([]) == []
    assert scene.pass_time(55, share=0.0) == []


def test_the_processor_time_of_a_real_process() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            deadline = time.monotonic() + 60
            while measure_cpu_seconds(process.pid) < 0.05 and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(signal.SIGSTOP)
            while (used := measure_cpu_seconds(process.pid)) != measure_cpu_seconds(process.pid):
                pass
            time.sleep(0.1)
            assert measure_cpu_seconds(process.pid) - used < 0.05
            assert used >= 0.05
        finally:
            process.kill()
    assert measure_cpu_seconds(process.pid) == 0.0
