"""How to add an entry of each kind from another package: each is done once, and all are trained together once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from pydantic import create_model

from bakeoff import registry
from bakeoff.catalog.choices import make_literal
from bakeoff.catalog.optimizers import OPTIMIZERS, OptimizerRecord
from bakeoff.errors import BakeoffError
from bakeoff.registry import Origin, PluginError, Registry, bind

SOURCE = Path(registry.__file__).parents[1]
KINDS = ("network", "optimizer", "schedule", "loss", "augmentation", "metric", "dataset", "search", "observer")
NAMES = ("tiny", "sign_sgd", "linear", "brier", "shade", "brier_score", "stripes", "ladder", "diary")

PROGRAM = """
import json, sqlite3, sys
import bakeoff.study.schema
loaded_by_import = "extra_choices" in sys.modules

import importlib
from bakeoff import registry, testing
checks = {}
for kind in KINDS:
    group = "bakeoff." + {"loss": "losses", "search": "searches"}.get(kind, kind + "s")
    (point,) = registry.list_entry_points(group)
    getattr(testing, f"check_{kind}")(point.load())
    checks[kind] = point.name

from bakeoff.api import Study, run
from bakeoff.search.candidate import find_direction
from bakeoff.catalog.metric import improvement
study = Study(
    question="Which rate?",
    data={"name": "stripes", "validation": 0.25},
    recipe={
        "network": {"name": "tiny", "width": 3},
        "optimizer": "sign_sgd",
        "schedule": "linear",
        "loss": "brier",
        "augmentation": ["shade"],
        "epochs": 3,
        "early_stopping": {"monitor": "brier_score", "patience": 1},
    },
    search={"name": "ladder"},
    replicates=2,
    numeric="float32",
    decide={"metric": "brier_score"},
)
if __name__ == "__main__":
    result = run(study, workspace="runs", workers=1, observer="diary")
    ledger = sqlite3.connect("runs/ledger.sqlite")
    rows = ledger.execute("SELECT content, metrics, state FROM trials").fetchall()
    best = ledger.execute("SELECT scores FROM candidates WHERE is_winner").fetchone()[0]
    scores = [json.loads(row[0]) for row in ledger.execute("SELECT scores FROM candidates")]
    print(json.dumps({
        "loaded_by_import": loaded_by_import,
        "checks": checks,
        "state": result.state,
        "arms": result.summary.arm_labels,
        "metric": result.summary.metric,
        "versions": dict(result.report.versions),
        "packages": [json.loads(content).get("packages") for content, _, _ in rows],
        "scores": [sorted(json.loads(metrics)["validation"]) for _, metrics, _ in rows],
        "winner": json.loads(best), "candidates": scores,
        "direction": find_direction("brier_score"),
        "improves": improvement("brier_score", 0.1, 0.2) > 0,
    }))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the package: its module, and what pip writes beside it."""
    folder = tmp_path_factory.mktemp("installed")
    shutil.copy(Path(__file__).with_name("extra_choices.py"), folder)
    metadata = folder / "extra_choices-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: extra-choices\nVersion: 1.2\n")
    plurals = {"loss": "losses", "search": "searches"}
    lines = [
        f"[bakeoff.{plurals.get(kind, kind + 's')}]\n{name} = extra_choices:{kind.upper()}\n"
        for kind, name in zip(KINDS, NAMES, strict=True)
    ]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    return folder


def start(folder: Path, *arguments: str) -> str:
    path = os.pathsep.join([str(folder), str(SOURCE)])
    environment = {**os.environ, "PYTHONPATH": path, "BAKEOFF_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    (folder / "program.py").write_text(f"KINDS = {KINDS}\n{PROGRAM}")
    answer: dict[str, Any] = json.loads(start(folder, "program.py").splitlines()[-1])
    return answer


def test_every_kind_keeps_its_contract(found: dict[str, Any]) -> None:
    assert found["checks"] == dict(zip(KINDS, NAMES, strict=True))


def test_nothing_of_a_package_is_imported_before_a_kind_is_used(found: dict[str, Any]) -> None:
    assert found["loaded_by_import"] is False


def test_all_kinds_train_to_a_verdict(found: dict[str, Any]) -> None:
    assert found["state"] == "done"
    assert found["arms"] == ["default", "winner"]
    assert found["metric"] == "brier_score"
    assert all("brier_score" in names for names in found["scores"])


def test_trials_are_of_the_packages_version(found: dict[str, Any]) -> None:
    assert found["packages"] == [{"extra-choices": "1.2"}] * len(found["packages"])


def test_reports_list_the_packages_version(found: dict[str, Any]) -> None:
    assert found["versions"]["extra-choices"] == "1.2"
    assert "torch" in found["versions"]


def test_a_metric_that_should_fall_is_let_fall(found: dict[str, Any]) -> None:
    assert found["improves"]
    assert found["direction"] == "minimize"
    assert found["winner"]["brier_score"] == min(scores["brier_score"] for scores in found["candidates"])


def test_an_observer_is_told(found: dict[str, Any], folder: Path) -> None:
    lines = (folder / "diary.txt").read_text().splitlines()
    assert lines.count("winner done") == 2
    assert "start" in lines


def test_lists_show_what_packages_add(folder: Path) -> None:
    assert "sign_sgd" in start(folder, "-m", "bakeoff", "list", "optimizers")


def test_a_report_without_the_package_names_what_to_install(
    found: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    assert found["state"] == "done"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    (study,) = json.loads(start(folder, "-m", "bakeoff", "status", "--json"))
    command = [sys.executable, "-m", "bakeoff", "report", study["id"], "--workspace", str(folder / "runs")]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    named = [f"{kind} '{name}'" for kind, name in zip(KINDS, NAMES, strict=True) if kind != "observer"]
    assert all(name in done.stderr for name in named)
    assert "install extra-choices 1.2" in done.stderr


class Distribution:
    name, version = "extra", "0.3"


def add(monkeypatch: pytest.MonkeyPatch, name: str, entry: object, count: int = 1) -> Registry[OptimizerRecord]:
    class Point(EntryPoint):
        dist = Distribution  # type: ignore[assignment]

        def load(self) -> Any:
            if isinstance(entry, Exception):
                raise entry
            return entry

    points = [Point(name, "extra:ENTRY", "bakeoff.optimizers") for _ in range(count)]
    monkeypatch.setattr(registry, "list_entry_points", lambda group: points)
    return Registry("optimizer", OPTIMIZERS.own, "bakeoff.optimizers")


def entry(name: str, called: str | None = None) -> OptimizerRecord:
    sgd = OPTIMIZERS.own[0]
    settings = create_model("Mine", __base__=sgd.settings, name=(make_literal([called or name]), called or name))
    return OptimizerRecord(name, "steps", "nobody", settings, make=sgd.make)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mine", ImportError("no module named\nx"), "cannot be loaded: ImportError: no module named x"),
        ("mine", 3, "extra:ENTRY is of type int, not OptimizerRecord"),
        ("mine", entry("yours"), "the entry point 'mine' is an entry named 'yours'"),
        ("mine", entry("mine", "yours"), 'Mine is told by its name: write name: Literal["mine"] = "mine"'),
        ("adam", entry("adam"), "adds 'adam', a name that bakeoff itself has already"),
    ],
)
def test_what_cannot_be_used_names_its_package_in_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, message: str
) -> None:
    with pytest.raises(PluginError) as caught:
        _ = add(monkeypatch, name, value).names
    assert str(caught.value).startswith("the installed package extra 0.3 (bakeoff.optimizers)")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_packages_may_not_share_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PluginError, match=r"a name that extra 0\.3 has already"):
        _ = add(monkeypatch, "mine", entry("mine"), count=2).names


def test_ours_come_first_and_have_no_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    found = add(monkeypatch, "mine", entry("mine"))
    assert found.names == (*(record.name for record in OPTIMIZERS.own), "mine")
    assert found.find_origin("mine") == Origin("extra", "0.3")
    assert found.find_origin("adam") is None
    with pytest.raises(BakeoffError, match=r"^unknown optimizer 'mina'\. Allowed: sgd, .*, mine\. Did you mean 'mine'"):
        found.find("mina")


def test_an_implementation_is_imported_or_called() -> None:
    assert bind("math:sqrt")(9) == 3
    assert bind(len) is len
    with pytest.raises(PluginError, match=r"^math:sqroot cannot be imported: AttributeError"):
        bind("math:sqroot")
