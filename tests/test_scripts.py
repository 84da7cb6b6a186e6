"""The scripts set up once, start at once, keep stdout clean, and survive company and interruption.

A made-up `uv` stands for the installer: it makes an environment whose interpreter is a shell script that prints what
it is asked to run. So nothing is installed and no network is needed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"

UV = """#!/bin/sh
echo "$1 $2 backend=${UV_TORCH_BACKEND:-}" >>"$UV_LOG"
for last; do :; done
if [ "$1" = venv ]; then
    mkdir -p "$last/bin" "$last/lib/python__VERSION__/site-packages"
    cp "$FAKE_PYTHON" "$last/bin/python"
else
    echo "installing $*"
    [ -z "${UV_FAILS:-}" ] || [ "${UV_TORCH_BACKEND:-}" != "$UV_FAILS" ] || exit 1
    sleep "${UV_SECONDS:-0}"
fi
"""

PYTHON = """#!/bin/sh
case "$1" in
    -I) exec __REAL__ "$@" ;;
esac
echo "ran: $* in $PWD"
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the scripts, the files they read, and the made-up installer first on PATH."""
    root = tmp_path / "a check out"
    shutil.copytree(SCRIPTS, root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "pyproject.toml").write_text("[project]\n")
    (root / "constraints.txt").write_text("numpy==2.0\n")
    tools = tmp_path / "tools"
    tools.mkdir()
    version = "{}.{}".format(*sys.version_info)
    # The real interpreter's prefix has site-packages of this version, as an environment made by uv would.
    real = tmp_path / "real-python"
    real.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    write_program(tools / "uv", UV.replace("__VERSION__", version))
    write_program(tools / "python3", real.read_text())
    write_program(tmp_path / "fake-python", PYTHON.replace("__REAL__", f'"{sys.executable}"'))
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_PYTHON", str(tmp_path / "fake-python"))
    monkeypatch.setenv("UV_LOG", str(tmp_path / "uv.log"))
    monkeypatch.delenv("PYTHON", raising=False)
    monkeypatch.delenv("UV_TORCH_BACKEND", raising=False)
    return root


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def run(root: Path, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(root / "scripts" / script), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=root.parent, env={**os.environ, **environment}
    )


def read_log(root: Path) -> list[str]:
    log = root.parent / "uv.log"
    return log.read_text().splitlines() if log.exists() else []


def test_first_use_sets_up_and_keeps_stdout_clean(checkout: Path) -> None:
    result = run(checkout, "bakeoff", "run", "my study.yaml", "--json")
    assert result.stdout == f"ran: -P -m bakeoff run my study.yaml --json in {checkout.parent}\n"
    assert result.stderr.count("\n") == 1
    assert "setting up .venv" in result.stderr
    assert result.returncode == 0


def test_second_use_starts_at_once(checkout: Path) -> None:
    run(checkout, "bakeoff")
    calls = read_log(checkout)
    result = run(checkout, "bakeoff", "list")
    assert (result.stdout, result.stderr) == (f"ran: -P -m bakeoff list in {checkout.parent}\n", "")
    assert read_log(checkout) == calls


def test_tests_need_the_tools_and_bakeoff_keeps_them(checkout: Path) -> None:
    run(checkout, "bakeoff")
    assert f"{checkout}[serve]" in (checkout / ".venv.log").read_text()
    run(checkout, "test")
    assert f"{checkout}[dev]" in (checkout / ".venv.log").read_text()
    assert run(checkout, "bakeoff").stderr == ""


@pytest.mark.parametrize("fails", ["", "auto"])
def test_the_oldest_versions_have_an_environment_of_their_own(checkout: Path, fails: str) -> None:
    result = run(checkout, "test", "--resolution", "lowest", "-k", "idx", UV_FAILS=fails)
    assert result.stdout.startswith("ran: -P -m pytest ")
    assert result.stdout.endswith(f" -k idx in {checkout}\n")
    assert f"--resolution lowest-direct --editable {checkout}[dev]" in result.stderr
    assert not (checkout / ".venv").exists()
    installs = ["pip install backend=auto", "pip install backend="]
    assert read_log(checkout)[1:] == (installs if fails else installs[:1])


def test_the_oldest_versions_need_uv(checkout: Path) -> None:
    (checkout.parent / "tools" / "uv").unlink()
    result = run(checkout, "test", "--resolution", "lowest")
    assert result.returncode == 2
    assert "pip install uv" in result.stderr


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_changed_requirement_is_installed_into_the_same_environment(checkout: Path, name: str) -> None:
    run(checkout, "bakeoff")
    (checkout / ".venv" / "kept").touch()
    (checkout / name).write_text("changed\n")
    assert "up to date" in run(checkout, "bakeoff").stderr
    assert (checkout / ".venv" / "kept").exists()
    assert run(checkout, "bakeoff").stderr == ""


def test_an_environment_made_by_hand_is_adopted(checkout: Path) -> None:
    run(checkout, "bakeoff")
    (checkout / ".venv" / "bakeoff-stamp").unlink()
    (checkout / ".venv" / "kept").touch()
    assert run(checkout, "bakeoff").returncode == 0
    assert (checkout / ".venv" / "kept").exists()


def test_a_moved_checkout_is_brought_up_to_date(checkout: Path) -> None:
    run(checkout, "bakeoff")
    moved = checkout.rename(checkout.parent / "moved")
    assert "up to date" in run(moved, "bakeoff").stderr
    assert run(moved, "bakeoff").stderr == ""


def test_a_link_to_the_script_works(checkout: Path) -> None:
    link = checkout.parent / "link"
    link.symlink_to(checkout / "scripts" / "bakeoff")
    result = subprocess.run([link, "plan"], capture_output=True, text=True, check=False, cwd=checkout.parent)
    assert result.stdout.startswith("ran: -P -m bakeoff plan")


def test_two_at_once_set_up_once(checkout: Path) -> None:
    command = [str(checkout / "scripts" / "bakeoff")]
    environment = {**os.environ, "UV_SECONDS": "0.5"}
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate()[0] for process in both]
    assert all(output.startswith("ran:") for output in outputs)
    assert [call.split()[0] for call in read_log(checkout)] == ["venv", "pip"]


def test_after_a_kill_the_next_start_begins_from_nothing(checkout: Path) -> None:
    command = [str(checkout / "scripts" / "bakeoff")]
    environment = {**os.environ, "UV_SECONDS": "30"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not any(call.startswith("pip") for call in read_log(checkout)):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (checkout / ".venv" / "half-installed").touch()
    result = run(checkout, "bakeoff")
    assert result.returncode == 0
    assert not (checkout / ".venv" / "half-installed").exists()
    assert (checkout / ".venv" / "bakeoff-stamp").exists()


def test_a_failed_step_says_what_failed(checkout: Path) -> None:
    environment = {"UV_FAILS": "cpu", "UV_TORCH_BACKEND": "cpu"}
    result = run(checkout, "bakeoff", **environment)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "set-up failed" in result.stderr
    assert ".venv.log" in result.stderr
    assert run(checkout, "bakeoff").returncode == 0


def test_without_the_small_build_of_torch_the_usual_one_is_taken(checkout: Path) -> None:
    assert run(checkout, "bakeoff", UV_FAILS="auto").returncode == 0
    assert [call.rpartition("=")[2] for call in read_log(checkout)] == ["", "auto", ""]


@pytest.mark.parametrize("version", ["3.10", "2.7"])
def test_an_old_python_is_refused(checkout: Path, version: str) -> None:
    old = checkout.parent / "old python"
    write_program(old, f"#!/bin/sh\necho {version}\n")
    result = run(checkout, "bakeoff", PYTHON=str(old))
    assert result.returncode == 2
    assert "3.11" in result.stderr
    assert not (checkout / ".venv").exists()


def test_no_python_is_said_clearly(checkout: Path) -> None:
    tools = checkout.parent / "tools"
    for name in ("dirname", "realpath", "cat", "cksum", "tr", "ls", "awk", "sh"):
        (tools / name).symlink_to(str(shutil.which(name)))
    (tools / "python3").unlink()
    result = run(checkout, "bakeoff", PATH=str(tools))
    assert result.returncode == 2
    assert "3.11" in result.stderr
