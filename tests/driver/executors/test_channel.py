"""The pipes between driver and worker."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import pytest

FORKING = """
import os, sys, time
from bakeoff.driver.executors.channel import receive, send, take_over

tasks, reports = take_over()
if os.fork() == 0:
    send("not heard", reports)
    try:
        receive(tasks)  # the task is the parent's
    except EOFError:
        os.write(2, b"nothing to read")
    time.sleep(20)
    os._exit(0)
send(receive(tasks), reports)
os._exit(3)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_child_does_not_hold_the_pipes_of_a_worker_that_ends() -> None:
    """The child sleeps on; the driver sees the worker's end all the same."""
    worker = subprocess.Popen(
        [sys.executable, "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    assert worker.stderr is not None
    assert worker.stderr.read(15) == b"nothing to read"
    worker.stdin.write(pickle.dumps("a task"))
    worker.stdin.close()
    ready, answer = worker.stdout.readline(), worker.stdout.read()  # to its end
    assert ready.endswith(b"ready\n")
    assert pickle.loads(answer) == "a task"
    assert worker.wait() == 3
    worker.stdout.close()
    worker.stderr.close()
