"""The command line as its users meet it: what it prints where, how it ends, and what it says of bad input."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bakeoff import cli
from bakeoff.extras import how_to_install
from bakeoff.ledger.schema import SCHEMA_VERSION

pytestmark = pytest.mark.usefixtures("shared_cache", "in_process")

STUDY = """\
question: Which learning rate?
data: {validation: 0.2}
recipe: {network: {name: mlp, units: [8]}, epochs: 1, batch_size: 128}
arms: [{optimizer.learning_rate: [0.001, 0.01]}]
replicates: 1
numeric: float32
"""
DIVERGING = STUDY.replace("learning_rate: [0.001, 0.01]", "learning_rate: [0.001, 1.0e+30]").replace(
    "epochs: 1,", "epochs: 1, optimizer: sgd,"
)


@dataclass(frozen=True)
class Ended:
    """What a command wrote."""

    stdout: str
    stderr: str


def bakeoff(*arguments: object, status: int = 0) -> Ended:
    """Run the command line in this process; check its exit status, and that no traceback was printed."""
    output, errors = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
        patch.setattr(sys, "argv", ["bakeoff", *map(str, arguments)])
        found = cli.main()
    for number, handler in handlers.items():
        signal.signal(number, handler)
    ended = Ended(output.getvalue(), errors.getvalue())
    assert found == status, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


def refuse(*arguments: object) -> str:
    """Run a command that is to be refused in one line on standard error; return that line."""
    ended = bakeoff(*arguments, status=2)
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    return line


def one_document(text: str) -> Any:
    """Parse what must be one JSON document and nothing else; NaN and Infinity are not JSON."""

    def deny(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    return json.loads(text, parse_constant=deny)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("studies") / "rates.yaml"
    path.write_text(STUDY)
    return path


@pytest.fixture(scope="module")
def workspace(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the study has been run, and its first output."""
    folder = tmp_path_factory.mktemp("workspace") / "runs"
    ended = bakeoff("run", study, "--workspace", folder, "--workers", 1)
    (folder / "stdout").write_text(ended.stdout)
    (folder / "stderr").write_text(ended.stderr)
    return folder


# --- starting fast ---------------------------------------------------------------------------------------------------

LOADED = """
import json, runpy, sys
sys.argv[0] = "bakeoff"
try:
    runpy.run_module("bakeoff", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
heavy = ("torch", "sklearn", "scipy", "pydantic", "numpy", "yaml")
print(json.dumps([name for name in heavy if name in sys.modules]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--help"], set()),
        (["run", "--help"], {"pydantic"}),  # typer imports it by itself
        (["data", "--help"], {"pydantic"}),
        (["--version"], set()),
        (["plan", "quickstart", "--no-probe"], {"scipy", "pydantic", "numpy", "yaml"}),
        (["list", "networks"], {"pydantic", "numpy", "yaml"}),
        (["schema"], {"pydantic", "numpy", "yaml"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_nothing_heavy_is_imported_before_it_is_needed(arguments: list[str], allowed: set[str]) -> None:
    ended = subprocess.run([sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert set(json.loads(ended.stderr.splitlines()[-1])) <= allowed
    assert ended.stdout.strip()


def test_help_names_every_command() -> None:
    words = bakeoff("--help").stdout.split()
    assert {"run", "plan", "status", "report", "list", "schema", "data"} <= set(words)


def test_without_arguments_help_is_shown() -> None:
    ended = bakeoff(status=2)
    assert "Usage:" in ended.stdout + ended.stderr


# --- running ---------------------------------------------------------------------------------------------------------


def test_the_verdict_goes_to_standard_output_and_progress_to_standard_error(workspace: Path) -> None:
    output, errors = (workspace / "stdout").read_text(), (workspace / "stderr").read_text()
    assert "Which learning rate?" in output
    assert "Report: " in output
    warning, first, *_, last = errors.splitlines()  # on a slow machine, lines of progress come between
    assert "one replicate" in warning
    assert first.startswith("2 trials")
    assert last.startswith("final test: ")


def test_a_second_run_trains_nothing_and_says_so(study: Path, workspace: Path) -> None:
    ended = bakeoff("run", study, "--workspace", workspace)
    *_, line = ended.stderr.splitlines()
    assert line.startswith("0 trials to train, 2 ")
    assert "2 of 2 trials done, all found in the ledger" in " ".join(ended.stdout.split())


def test_json_is_one_document_and_nothing_else(study: Path, workspace: Path) -> None:
    document = one_document(bakeoff("run", study, "--workspace", workspace, "--json").stdout)
    assert {"study", "state", "trials", "arms", "verdicts", "final_test", "report"} <= document.keys()
    assert document["trials"]["reused"] == 2
    assert document == {
        **one_document(bakeoff("report", "rates", "--workspace", workspace, "--json").stdout),
        "trials": document["trials"],
        "report": document["report"],
        "report_html": document["report_html"],
        "seconds": document["seconds"],
    }


def test_failed_trials_are_exit_status_one_and_the_rest_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "diverging.yaml"
    path.write_text(DIVERGING)
    ended = bakeoff("run", path, "--workspace", tmp_path / "runs", "--workers", 1, "--json", status=1)
    document = one_document(ended.stdout)
    assert (document["state"], document["trials"]["done"], document["trials"]["failed"]) == ("failed", 1, 1)
    assert "diverged" in ended.stderr
    ended = bakeoff("run", path, "--workspace", tmp_path / "runs", status=1)
    assert "diverged" in ended.stdout


def test_set_and_no_exam(study: Path, tmp_path: Path) -> None:
    arguments = ("--workspace", tmp_path, "--workers", 1, "--no-final-test", "--json")
    document = one_document(bakeoff("run", study, "--set", "name=mine", *arguments).stdout)
    assert (document["study"], document["final_test"]["opened"]) == ("mine", 0)
    assert document["arms"][0]["test"] == {}


def test_the_old_name_of_the_final_test_works_but_is_not_shown(study: Path, tmp_path: Path) -> None:
    arguments = ("--workspace", tmp_path, "--workers", 1, "--json")
    assert one_document(bakeoff("run", study, "--no-exam", *arguments).stdout)["final_test"]["opened"] == 0
    assert one_document(bakeoff("run", study, "--exam", *arguments).stdout)["final_test"]["opened"] == 1
    shown = bakeoff("run", "--help").stdout
    assert "--no-final-test" in shown
    assert "exam" not in shown


# --- looking ---------------------------------------------------------------------------------------------------------


def test_plan_trains_nothing(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ended = bakeoff("plan", study, "--no-probe")
    assert "2 in 1 cohort" in ended.stdout
    assert list(tmp_path.iterdir()) == []
    document = one_document(bakeoff("plan", "weight-init", "--no-probe", "--json").stdout)
    assert (document["trials"], len(document["arms"]), len(document["blocks"])) == (540, 9, 12)


def test_plan_says_what_can_be_shown(study: Path, workspace: Path, tmp_path: Path) -> None:
    expect = ("--set", "expect={sd: 0.3 points, accuracy: 0.9}", "--set", "decide.margin=0.5 points")
    told = bakeoff(
        "plan", study, "--no-probe", "--workspace", tmp_path / "none", *expect, "--set", "replicates=3"
    ).stdout
    said = " ".join(told.split())
    assert "3 replicates can show differences of" in said
    assert "359 test images alone limit it to" in said
    assert "detectable by replicates, 3: " in said
    assert "warning 3 replicates are unlikely to settle the margin of 0.5 points" in said
    said = " ".join(bakeoff("plan", study, "--no-probe", "--workspace", tmp_path / "none").stdout.split())
    assert "nothing is known yet" in said
    document = one_document(bakeoff("plan", study, "--no-probe", "--json", "--workspace", workspace, *expect).stdout)
    assert document["power"]["blocks"][0]["source"]["kind"] == "declared"  # the study has one replicate


def test_a_pilot(study: Path, tmp_path: Path) -> None:
    runs = ("--workspace", tmp_path / "runs", "--workers", 1, "--set", "replicates=3")
    ended = bakeoff("run", study, *runs, "--pilot", 2)
    said = " ".join(ended.stdout.split())
    assert "no verdict yet: 4 of 6 trials have ended" in said
    assert "3 replicates can show differences of" in said
    assert "the same command without --pilot continues" in said
    document = one_document(bakeoff("run", study, *runs, "--pilot", 2, "--json").stdout)
    assert document["power"]["blocks"][0]["source"]["kind"] == "pilot"
    assert document["final_test"]["opened"] == 0
    document = one_document(bakeoff("run", study, *runs, "--json").stdout)
    assert (document["trials"]["done"], document["trials"]["reused"]) == (6, 4)
    assert refuse("run", study, *runs, "--pilot", 3).startswith("error: --pilot 3: the study has 3 replicates")


def test_status(workspace: Path) -> None:
    (document,) = one_document(bakeoff("status", "--workspace", workspace, "--json").stdout)
    assert (document["name"], document["num_done"], document["num_planned"]) == ("rates", 2, 2)
    assert (document["question"], document["id"]) == ("Which learning rate?", document["study_id"][:8])
    line = f"{document['id']}  rates: 2 of 2 trials done; test split opened once"
    assert bakeoff("status", "--workspace", workspace).stdout.splitlines() == [line]
    assert bakeoff("status", "rates", "--workspace", workspace).stdout.splitlines() == [line]
    assert bakeoff("status", document["id"], "--workspace", workspace).stdout.splitlines() == [line]


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_serve_without_its_extra_names_the_remedy(package: str, tmp_path: Path) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; from bakeoff.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "serve", "--workspace", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert how_to_install("serve") in ended.stderr


@pytest.mark.parametrize(
    ("form", "mark"),
    [("terminal", "Which learning rate?"), ("md", "# "), ("json", "{"), ("latex", r"\toprule")],
)
def test_report(workspace: Path, form: str, mark: str) -> None:
    output = bakeoff("report", "rates", "--workspace", workspace, "--format", form).stdout
    assert mark in output
    if form == "json":
        assert one_document(output)["state"] == "done"


@pytest.mark.parametrize(
    ("options", "column", "num_rows"),
    [([], "test_accuracy_share", 2), (["--table", "epochs"], "epoch", 2), (["--table", "verdicts"], "p_adjusted", 1)],
)
def test_report_as_a_table(workspace: Path, options: list[str], column: str, num_rows: int) -> None:
    output = bakeoff("report", "rates", "--workspace", workspace, "--format", "csv", *options).stdout
    rows = list(csv.DictReader(output.splitlines()))
    assert len(rows) == num_rows
    assert column in rows[0]


def test_a_table_is_for_csv_only(workspace: Path) -> None:
    line = refuse("report", "rates", "--workspace", workspace, "--table", "arms")
    assert "--format csv" in line
    assert refuse("report", "rates", "--workspace", workspace, "--table", "arms", "--format", "csv", "--json") == line


def test_a_study_file_stands_for_the_name_in_it(study: Path, workspace: Path, tmp_path: Path) -> None:
    named = bakeoff("report", "rates", "--json", "--workspace", workspace).stdout
    assert bakeoff("report", study, "--json", "--workspace", workspace).stdout == named
    assert bakeoff("report", study, "--format", "csv", "--workspace", workspace).stdout.count("\n") == 3
    (listed,) = one_document(bakeoff("status", study, "--json", "--workspace", workspace).stdout)
    assert listed["name"] == "rates"
    assert one_document(bakeoff("show", study, "--json").stdout)["name"] == "rates"
    other = tmp_path / "rates.yaml"
    other.write_text(f"name: others\n{STUDY}")
    assert "study 'others' is not in this workspace" in refuse("report", other, "--workspace", workspace)
    assert "study 'others' is not in this workspace" in refuse("status", other, "--workspace", workspace)


def test_report_as_a_page(workspace: Path) -> None:
    (page,) = workspace.glob("reports/rates-*/report.html")
    page.unlink()  # the run has written it
    output = bakeoff("report", "rates", "--workspace", workspace, "--format", "html").stdout
    assert output.splitlines() == [str(page)]
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("studies", "quickstart"),
        ("networks", "modnet2"),
        ("initializers", "lecun_uniform"),
        ("optimizers", "adagrad"),
        ("datasets", "fashion-mnist"),
        ("strategies", "grid"),
        ("metrics", "macro_f1"),
    ],
)
def test_list(what: str, name: str) -> None:
    rows = one_document(bakeoff("list", what, "--json").stdout)
    assert name in [row["name"] for row in rows]
    assert all(row["summary"] for row in rows)
    assert name in bakeoff("list", what).stdout.split()


def test_without_a_kind_all_are_listed() -> None:
    rows = {row["name"]: row["summary"] for row in one_document(bakeoff("list", "--json").stdout)}
    assert rows["losses"] == "cross_entropy, focal, bce"
    assert rows["networks"].endswith(" more")


@pytest.mark.parametrize("kind", [["network"], ["studies", "networks"]], ids=["unknown", "settings"])
def test_a_kind_that_cannot_be_listed(kind: list[str]) -> None:
    ended = bakeoff("list", *kind, status=2)
    assert ended.stdout == ""
    assert "networks" in ended.stderr


def test_the_settings_of_one_entry() -> None:
    rows = one_document(bakeoff("list", "optimizers", "sgd", "--json").stdout)
    assert [row["name"] for row in rows] == [
        "learning_rate",
        "decay_norms_and_biases",
        "momentum",
        "nesterov",
        "weight_decay",
    ]
    assert "(default 0.01)" in bakeoff("list", "optimizers", "sgd").stdout
    assert "units" in bakeoff("list", "networks", "torchvision:resnet18").stdout
    assert bakeoff("list", "losses", "cross_entropy").stdout == "cross_entropy has no settings.\n"
    assert refuse("list", "optimizers", "sdg").endswith("'sgd'? [BK104]")
    assert "no settings" in refuse("list", "metrics", "accuracy")


def test_schema_is_a_json_schema() -> None:
    document = one_document(bakeoff("schema").stdout)
    assert "arms" in document["properties"]


def test_data_digits() -> None:
    assert bakeoff("data", "get", "digits").stdout.startswith("digits: ")
    assert all(line.startswith("ok  ") for line in bakeoff("data", "verify", "digits").stdout.splitlines())
    facts = one_document(bakeoff("data", "show", "digits", "--json").stdout)
    assert facts["image_shape_HWC"] == [8, 8, 1]
    assert "fingerprint" in bakeoff("data", "show", "digits").stdout


def test_a_reader_that_goes_away_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "bakeoff", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [["no-such-command"], ["run"], ["run", "quickstart", "--no-such-option"], ["plan", "quickstart", "--workers", "0"]],
    ids=" ".join,
)
def test_wrong_usage(arguments: list[str]) -> None:
    ended = bakeoff(*arguments, status=2)
    assert ended.stdout == ""
    assert "Usage: " in ended.stderr
    assert "Error: " in ended.stderr


def test_a_missing_study() -> None:
    assert refuse("run", "quickstrat").startswith("error: quickstrat: ")
    assert refuse("plan", "quickstrat").endswith("'quickstart'? [BK101]")
    assert "missing.yaml" in refuse("run", "folder/missing.yaml")


def test_every_problem_of_a_study_has_its_line(study: Path, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(STUDY.replace("replicates: 1", "replicates: some\nrepetitions: 3"))
    ended = bakeoff("run", path, "--workspace", tmp_path / "runs", status=2)
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"error: {path}:") for line in lines)
    assert not (tmp_path / "runs").exists()


def test_an_unwritable_workspace(study: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "runs"
    line = refuse("run", study, "--workspace", place)
    assert line.startswith(f"error: {place}: ")
    assert "Not a directory" in line


def test_no_workspace(tmp_path: Path) -> None:
    line = refuse("status", "--workspace", tmp_path)
    assert line.startswith(f"error: {tmp_path}: no ledger")
    assert refuse("report", "rates", "--workspace", tmp_path) == line


def test_an_unknown_study_in_the_workspace(workspace: Path) -> None:
    line = refuse("status", "rate", "--workspace", workspace)
    assert "'rate'" in line
    assert line.endswith("'rates'? [BK402]")
    assert refuse("report", "rate", "--workspace", workspace) == line


def test_a_ledger_from_a_newer_version(study: Path, workspace: Path, tmp_path: Path) -> None:
    newer = Path(shutil.copytree(workspace, tmp_path / "runs"))
    with closing(sqlite3.connect(newer / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    line = refuse("run", study, "--workspace", newer)
    assert line.startswith(f"error: {newer}/ledger.sqlite: ")
    assert "99" in line
    assert f"{SCHEMA_VERSION})" in line
    assert refuse("report", "rates", "--workspace", newer) == line
    assert refuse("status", "--workspace", newer) == line


def test_a_damaged_ledger(study: Path, tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"no database" * 1_000)
    for arguments in (("run", study), ("report", "rates")):
        line = refuse(*arguments, "--workspace", tmp_path)
        assert line.startswith(f"error: {tmp_path}/ledger.sqlite: ")
        assert "not a database" in line


def test_an_unknown_data_set() -> None:
    assert "'mnist'?" in refuse("data", "show", "mnst")
    assert "'digits'?" in refuse("data", "verify", "digit")


def write_idx(path: Path, *shape: int, missing: int = 0) -> None:
    """Write an IDX file of zeros, sparse on disk, short of `missing` bytes."""
    header = bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    size = 1
    for extent in shape:
        size *= extent
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + size - missing)


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """A folder in MNIST's layout, all images and labels zero."""
    raw = tmp_path / "data" / "MNIST" / "raw"
    for part, number in (("train", 60_000), ("t10k", 10_000)):
        write_idx(raw / f"{part}-images-idx3-ubyte", number, 28, 28)
        write_idx(raw / f"{part}-labels-idx1-ubyte", number)
    return raw


def verify(raw: Path) -> tuple[str, list[str]]:
    """Verify a folder with one fault; return the line that names it and the lines of what is right."""
    ended = bakeoff("data", "verify", "mnist", "--data-dir", raw.parents[1], status=2)
    (line,) = ended.stderr.splitlines()
    return line, ended.stdout.splitlines()


def test_a_truncated_idx_file(mnist: Path, study: Path, tmp_path: Path) -> None:
    images = mnist / "train-images-idx3-ubyte"
    write_idx(images, 60_000, 28, 28, missing=10)
    line, right = verify(mnist)
    assert line.startswith("error: ")
    assert len(right) == 1
    changes = ("--set", "data.name=mnist", "--set", "replicates=3")
    refused = refuse("run", study, *changes, "--data-dir", mnist.parents[1], "--workspace", tmp_path)
    for text in (line, refused):
        assert str(images) in text
        assert "47,039,990 of the 47,040,000" in text


def test_a_wrong_checksum(mnist: Path) -> None:
    """The publisher's name, readable content, and yet not the publisher's file."""
    import gzip

    labels = mnist / "t10k-labels-idx1-ubyte"
    packed = labels.with_name(f"{labels.name}.gz")
    packed.write_bytes(gzip.compress(labels.read_bytes()))
    labels.unlink()
    line, right = verify(mnist)
    assert line.startswith(f"error: {packed}: ")
    assert "md5 ec29112dd5afa0611ce80d1b7f02629c" in line
    assert len(right) == 2


# What can be named, and images that are not registered.


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("networks", "torchvision:resnet18"),
        ("schedules", "one_cycle"),
        ("augmentations", "random_crop"),
        ("mixes", "cutmix"),
        ("averagings", "swa"),
    ],
)
def test_every_registry_is_listed_with_a_line_each(what: str, name: str) -> None:
    rows = one_document(bakeoff("list", what, "--json").stdout)
    assert name in [row["name"] for row in rows]
    assert all(row["summary"] for row in rows)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, level in (("dark", 10), ("light", 240)):
        for split, number in (("train", 12), ("test", 3)):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for index in range(number):
                image = Image.new("L", (8, 8), level)
                image.putpixel((index % 8, index // 8 + (0 if split == "train" else 4)), level + 5)  # all differ
                image.save(folder / f"{index}.png")
    for index in range(6):
        (tmp_path / "photos" / "train" / "dark" / f"torn{index}.png").write_bytes(b"\x89PNG")
    return tmp_path / "photos"


def test_data_commands_print_documents() -> None:
    assert one_document(bakeoff("data", "get", "digits", "--json").stdout) == {
        "name": "digits",
        "folder": None,
        "files": [],
    }
    verified = one_document(bakeoff("data", "verify", "digits", "--json").stdout)
    assert verified["ok"] is True


def test_a_damaged_image_fails_the_check_in_json_too(photos: Path) -> None:
    verified = one_document(bakeoff("data", "verify", photos, "--json", status=2).stdout)
    assert verified["ok"] is False
    assert {f"torn{n}.png" for n in range(6)} <= {Path(row["file"]).name for row in verified["files"] if not row["ok"]}


def test_a_folder_is_shown(photos: Path) -> None:
    shown = one_document(bakeoff("data", "show", photos, "--json").stdout)
    assert shown["num_train"] == 24
    assert "torn0.png" in bakeoff("data", "show", "photos", "--data-dir", photos.parent).stdout


def test_what_is_neither_is_refused(tmp_path: Path) -> None:
    line = refuse("data", "show", tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in line
    assert "manifest" in line
    assert "'mnist'?" in refuse("data", "show", "mnits")


def test_a_study_of_a_folder(photos: Path, tmp_path: Path) -> None:
    study = tmp_path / "shades.yaml"
    study.write_text(STUDY.replace("{validation: 0.2}", f"{{folder: '{photos}', validation: 0.25, subset: 0.5}}"))
    planned = one_document(bakeoff("plan", study, "--no-probe", "--json").stdout)
    assert (planned["trials"], planned["cohorts"], planned["measured"]) == (2, 1, False)
    least, most = planned["seconds"]
    assert 0 < least < most
    ran = one_document(bakeoff("run", study, "--workspace", tmp_path / "runs", "--workers", 1, "--json").stdout)
    assert ran["state"] == "done"
    assert "photos, 50% of the training images" in ran["reduced"]
    assert any("torn" in note for note in ran["notes"])
    assert ran["data"]["photos"]["class_names"] == ["dark", "light"]
    assert one_document(bakeoff("plan", study, "--no-probe", "--json").stdout)["cohorts"] == 1


def test_a_field_given_as_an_option_is_told_of_set(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("sys.argv", ["bakeoff", "run", "quickstart", "--replicates", "3"])
    assert cli.main() == 2
    errors = capsys.readouterr().err.strip()
    assert "--set replicates=" in errors
    assert len(errors.splitlines()) == 1
