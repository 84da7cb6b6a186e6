"""Runs a study like `bakeoff run`, with a watchdog patience of seconds instead of minutes.

python benchmarks/fault_driver.py STUDY WORKSPACE WORKERS PATIENCE_SECONDS
"""

from __future__ import annotations

import sys
from pathlib import Path

from bakeoff.driver.context import RunContext
from bakeoff.driver.executors import watchdog
from bakeoff.driver.executors.local import LocalExecutor
from bakeoff.driver.observer import watch
from bakeoff.driver.run import run_plan
from bakeoff.report.progress import RunProgress
from bakeoff.study.load import load_study
from bakeoff.study.plan import expand


def main() -> int:
    """Run a study to its end."""
    study, workspace, workers, patience = sys.argv[1:]
    watchdog.LOOK_EVERY_SECONDS = min(watchdog.LOOK_EVERY_SECONDS, float(patience) / 5)
    executor = LocalExecutor(int(workers), Path(workspace), None, watchdog=watchdog.Watchdog(float(patience)))
    try:
        with watch([RunProgress(quiet=True)]) as observer:
            run_plan(
                expand(load_study(study)),
                RunContext(
                    workspace=Path(workspace), executor=executor, observer=observer, command=f"bakeoff run {study}"
                ),
            )
    finally:
        executor.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
