"""What tests of trackers share: a trained study, and stand-ins in memory for packages that need not be installed."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from bakeoff.api import Result, Study, run
from bakeoff.ledger.read import open_reading
from bakeoff.workspace import Folders

Points = dict[tuple[str, str], list[tuple[int, float]]]
"""(Trial's id, metric) -> (step, value) as often as it was logged."""


def make_study(**fields: Any) -> Study:
    values: dict[str, Any] = {
        "question": "Which learning rate?",
        "name": "tiny",
        "data": {"validation": 0.2},
        "recipe": {"network": {"name": "mlp", "units": [8]}, "epochs": 3, "batch_size": 128, "schedule": "cosine"},
        "arms": [{"optimizer.learning_rate": [0.001, 0.01]}],
        "replicates": 2,
        "numeric": "float32",
    }
    return Study(**{**values, **fields})


@pytest.fixture(scope="module", autouse=True)
def _plain_page() -> Iterator[None]:
    """Write no figures into reports: they take most of the time here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bakeoff.api.write_html", lambda report: "<html></html>")
        yield


@pytest.fixture(scope="module")
def study() -> Study:
    return make_study()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, study: Study) -> tuple[Path, Result]:
    """One study, run once for all tests of a module."""
    workspace = tmp_path_factory.mktemp("trained") / "runs"
    return workspace, run(study, workspace=workspace, workers=1)


@pytest.fixture
def workspace(trained: tuple[Path, Result], tmp_path: Path) -> Path:
    """A copy of the trained workspace."""
    return Path(shutil.copytree(trained[0], tmp_path / "runs"))


def _read_points(workspace: Path) -> Points:
    """Return what the ledger has: every metric by epoch, and every final score after the last epoch."""
    points: Points = {}
    with open_reading(Folders(workspace)) as connection, closing(connection.cursor()) as cursor:
        for trial_id, epoch, *splits in cursor.execute("SELECT trial_id, epoch, train, validation FROM epochs"):
            for split, text in zip(("train", "validation"), splits, strict=True):
                for name, value in json.loads(text).items():
                    points.setdefault((trial_id, f"{split}/{name}"), []).append((epoch, value))
        query = "SELECT id, t.metrics, e.metrics FROM trials t LEFT JOIN exam_results e ON e.trial_id = id"
        for trial_id, trained, tested in cursor.execute(query):
            for split, scores in {**json.loads(trained), "test": json.loads(tested or "{}")}.items():
                for name, value in scores.items():
                    points.setdefault((trial_id, f"final/{split}/{name}"), []).append((3, value))
    return points


@pytest.fixture
def in_ledger(trained: tuple[Path, Result]) -> Callable[[], Points]:
    return lambda: _read_points(trained[0])


@pytest.fixture
def read_points() -> Callable[[Path], Points]:
    return _read_points


def compare(found: Points, wanted: Points, *, ignore_step_of_finals: bool = False) -> None:
    """Every point of the ledger is there, once."""
    assert wanted
    for key, points in wanted.items():
        steps = sorted(found.get(key, []))
        if ignore_step_of_finals and key[1].startswith("final/"):
            assert {value for _, value in steps} == {value for _, value in points}, key
            assert len({step for step, _ in steps}) == len(steps), key
        else:
            assert steps == sorted(points), key


@pytest.fixture
def check_points() -> Callable[..., None]:
    return compare


def install(monkeypatch: pytest.MonkeyPatch, **modules: Any) -> None:
    """Put modules in place of installed ones, or of none; `a__b` is a.b."""
    for name, content in modules.items():
        dotted = name.replace("__", ".")
        module = ModuleType(dotted)
        module.__spec__ = ModuleSpec(dotted, None)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, dotted, module)


class FakeMLflow:
    """An MLflow server in memory; metrics are appended, as in its file store."""

    def __init__(self) -> None:
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, Any] = {}
        self.history: list[tuple[str, str, int, float]] = []
        self.artifacts: dict[str, list[str]] = {}

    def __call__(self, uri: str) -> FakeMLflow:
        return self

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id=self.experiments[name]) if name in self.experiments else None

    def create_experiment(self, name: str, *, tags: dict[str, str]) -> str:
        return self.experiments.setdefault(name, f"experiment {name}")

    def create_run(self, experiment_id: str, *, run_name: str, tags: dict[str, str]) -> Any:
        info = SimpleNamespace(run_id=f"run {len(self.runs)}", run_name=run_name, status="RUNNING")
        data = SimpleNamespace(tags=dict(tags), params={}, metrics={})
        self.runs[info.run_id] = SimpleNamespace(info=info, data=data)
        return self.get_run(info.run_id)

    def get_run(self, run_id: str) -> Any:
        run = self.runs[run_id]
        copied = {name: dict(value) for name, value in vars(run.data).items()}
        return SimpleNamespace(info=SimpleNamespace(**vars(run.info)), data=SimpleNamespace(**copied))

    def search_runs(self, experiments: list[str], query: str, *, max_results: int, page_token: str | None) -> Any:
        study_id = query.split("'")[1]
        found = [self.get_run(each) for each, run in self.runs.items() if run.data.tags["bakeoff.study_id"] == study_id]
        start = int(page_token or 0)

        class Page(list[Any]):
            token = str(start + 2) if start + 2 < len(found) else None  # pages of two

        return Page(found[start : start + 2])

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = ()) -> None:
        assert len(metrics) <= 1000
        assert len(params) <= 100
        data = self.runs[run_id].data
        for each in params:
            assert data.params.setdefault(each.key, each.value) == each.value, "parameters cannot be changed"
        for each in metrics:
            self.history.append((run_id, each.key, each.step, each.value))
            data.metrics[each.key] = each.value

    def get_metric_history(self, run_id: str, key: str) -> Any:
        return [SimpleNamespace(step=step) for run, name, step, _ in self.history if (run, name) == (run_id, key)]

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        self.runs[run_id].data.tags[key] = value

    def set_terminated(self, run_id: str, status: str) -> None:
        self.runs[run_id].info.status = status

    def update_run(self, run_id: str, *, status: str) -> None:
        self.runs[run_id].info.status = status

    def log_artifact(self, run_id: str, path: str) -> None:
        self.artifacts.setdefault(run_id, []).append(Path(path).name)

    def points(self) -> Points:
        found: Points = {}
        for run_id, name, step, value in self.history:
            trial_id = self.runs[run_id].data.tags["bakeoff.trial_id"]
            found.setdefault((trial_id, name), []).append((step, value))
        return found

    def statuses(self, kind: str) -> list[str]:
        return [run.info.status for run in self.runs.values() if run.data.tags["bakeoff.kind"] == kind]


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> FakeMLflow:
    server = FakeMLflow()

    def metric(key: str, value: float, timestamp: int, step: int) -> Any:
        return SimpleNamespace(key=key, value=value, step=step)

    def param(key: str, value: str) -> Any:
        return SimpleNamespace(key=key, value=value)

    install(monkeypatch, mlflow={"MlflowClient": server}, mlflow__entities={"Metric": metric, "Param": param})
    monkeypatch.setattr("bakeoff.trackers.mlflow._DEFAULTS", {})
    return server


class FakeRun:
    """A run of Trackio or W&B: steps that are not after its last one are refused."""

    def __init__(self, config: dict[str, Any], folder: Path | None = None) -> None:
        self.config, self.summary = config, dict[str, Any]()
        self.rows: list[tuple[int, dict[str, Any]]] = []
        self.exits: list[int | None] = []
        self.is_open, self.artifacts = True, list[str]()
        if folder is not None:
            self.dir = str(folder / "files")

    @property
    def _next_step(self) -> int:
        return max((step for step, _ in self.rows), default=-1) + 1

    def log(self, values: dict[str, Any], *, step: int) -> None:
        assert self.is_open
        assert step >= self._next_step, "logged before"
        self.rows.append((step, values))

    def log_artifact(self, path: str, *, name: str, type: str) -> None:
        self.artifacts.append(Path(path).name)

    def finish(self, exit_code: int | None = None) -> None:
        self.is_open = False
        self.exits.append(exit_code)

    def points(self) -> Points:
        trial_id, found = self.config["trial_id"], Points()
        for step, values in [*self.rows, (3, {k: v for k, v in self.summary.items() if k.startswith("final/")})]:
            for name, value in values.items():
                found.setdefault((trial_id, name), []).append((step, value))
        return found


class FakeProject(dict[str, FakeRun]):
    """A project of Trackio or W&B: runs by their name or id."""

    def points(self) -> Points:
        runs = [run for run in self.values() if "trial_id" in run.config]
        return {key: points for run in runs for key, points in run.points().items()}

    @property
    def conclusion(self) -> FakeRun:
        (found,) = [run for run in self.values() if "trial_id" not in run.config]
        return found


@pytest.fixture
def trackio(monkeypatch: pytest.MonkeyPatch) -> FakeProject:
    project = FakeProject()

    def init(project_name: str, *, name: str, config: dict[str, Any], resume: str, **options: Any) -> FakeRun:
        assert (project_name, resume) == ("mine", "allow")
        found = project.setdefault(name, FakeRun(config))
        found.is_open = True
        return found

    def list_runs(project_name: str) -> list[Any]:
        return [SimpleNamespace(name=name, delete=lambda name=name: project.pop(name)) for name in list(project)]

    api = SimpleNamespace(runs=list_runs)
    install(monkeypatch, trackio={"init": init, "Api": lambda: api, "Markdown": str})
    return project


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeProject:
    """W&B; `WANDB_MODE=offline` starts every run anew in a folder of its own."""
    project, folder = FakeProject(), tmp_path / "wandb"
    mode = SimpleNamespace(mode="online", wandb_dir=str(folder), has_key=True)

    def init(*, project: str, id: str, config: dict[str, Any], resume: str, reinit: str, **options: Any) -> FakeRun:
        assert (project, resume, reinit) == ("mine", "allow", "create_new")
        if mode.mode == "online":
            found = runs.setdefault(id, FakeRun(config))
            found.is_open = True
            return found
        place = folder / f"offline-run-{len(list(folder.glob('*')))}-{id}"
        (place / "files").mkdir(parents=True)
        runs[id] = FakeRun(config, place)
        return runs[id]

    runs = project
    content = {
        "init": init,
        "setup": lambda: SimpleNamespace(settings=mode),
        "login": lambda **options: mode.has_key,
        "Settings": SimpleNamespace,
    }
    install(monkeypatch, wandb=content)
    project.mode = mode  # type: ignore[attr-defined]
    return project


def make_value(**fields: Any) -> Any:
    return SimpleNamespace(HasField=fields.__contains__, tag=fields["tag"], fields=fields, tensor=fields)


def make_summary(value: list[Any]) -> list[Any]:
    return value


make_summary.Value = make_value  # type: ignore[attr-defined]


class FakeEvent:
    """A record of an event file: a line of JSON."""

    def __init__(self, step: int = 0, summary: Any = (), **rest: Any) -> None:
        self.step, self.summary = step, SimpleNamespace(value=list(summary))

    def SerializeToString(self) -> bytes:
        return (json.dumps([self.step, [each.fields for each in self.summary.value]]) + "\n").encode()


class FakeLoader:
    def __init__(self, path: str) -> None:
        self.path = path

    def Load(self) -> Iterator[FakeEvent]:
        for line in Path(self.path).read_text().splitlines():
            step, values = json.loads(line)
            yield FakeEvent(step, [make_value(**each) for each in values])


class FakeEvents:
    """A folder of event files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def points(self, trial_ids: set[str]) -> Points:
        found: Points = {}
        for path in self.folder.rglob("events.out.tfevents.*"):
            trial_id = next((each for each in trial_ids if path.parent.name.endswith(each[:12])), "")
            values = [(event.step, each) for event in FakeLoader(str(path)).Load() for each in event.summary.value]
            for step, each in values:
                if "simple_value" in each.fields:
                    found.setdefault((trial_id, each.tag), []).append((step, each.fields["simple_value"]))
        return found


@pytest.fixture
def tensorboard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeEvents:
    """TensorBoard's writers and readers, with JSON lines in place of protocol buffers."""
    install(
        monkeypatch,
        tensorboard={},
        tensorboard__compat__proto__event_pb2={"Event": FakeEvent},
        tensorboard__compat__proto__summary_pb2={"Summary": make_summary},
        tensorboard__summary__writer__record_writer={"RecordWriter": lambda file: file},
        tensorboard__plugins__hparams__summary_v2={
            "hparams_pb": lambda settings, trial_id: [make_value(tag="hparams", settings=settings)]
        },
        tensorboard__plugins__text__summary_v2={"text_pb": lambda tag, text: [make_value(tag=tag, text=text)]},
        tensorboard__backend__event_processing__event_file_loader={"LegacyEventFileLoader": FakeLoader},
        tensorboard__util__tensor_util={
            "make_ndarray": lambda fields: SimpleNamespace(item=lambda: fields["text"].encode())
        },
    )
    return FakeEvents(tmp_path / "events")
