"""A trial that takes more memory than there is: it fails alone, with its reason; the others are kept."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from bakeoff.workspace import Folders

MODULE = """\
import os
import signal

import torch


class Modest(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(64, 8)

    def forward(self, images):
        return self.layer(images.flatten(1)[:, :64])


class Greedy(Modest):
    def forward(self, images):
        found = super().forward(images)
        return found if len(images) < 100 else found + torch.ones(2**46)[:8]  # in training, not when it is looked at


class Killed(Modest):
    def forward(self, images):
        if len(images) >= 100:
            os.kill(os.getpid(), signal.SIGKILL)  # as Linux ends the process that takes the last memory
        return super().forward(images)
"""


def test_a_trial_that_takes_all_memory_fails_alone_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "hungry.py").write_text(MODULE)
    networks = ["hungry:Modest", "hungry:Greedy", "hungry:Killed"]
    recipe = {"epochs": 2, "batch_size": 256}
    study = tmp_path / "memory.yaml"
    study.write_text(
        json.dumps(
            {"question": "?", "recipe": recipe, "arms": [{"network": networks}], "replicates": 1, "numeric": "float32"}
        )
    )
    command = [sys.executable, "-m", "bakeoff", "run", str(study), "--workspace", str(tmp_path / "runs")]
    command += ["--workers", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=180, check=False)
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    with closing(sqlite3.connect(Folders(tmp_path / "runs").ledger)) as connection:
        found = connection.execute("SELECT content, state, reason FROM trials").fetchall()
    ended = sorted(
        (json.loads(content)["recipe"]["network"]["name"], state, reason) for content, state, reason in found
    )
    names, states, reasons = zip(*ended, strict=True)
    assert names == tuple(sorted(networks))
    assert states == ("failed", "failed", "done")
    assert all("allocate" in reason or "memory" in reason for reason in reasons[:2])
    assert "SIGKILL" in reasons[1]
