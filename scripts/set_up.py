"""Make .venv ready: called by environment.sh when the stamp in it is missing or out of date.

    set_up.py LEVEL [CHECKSUM [chosen]]

LEVEL is `run` (what bakeoff needs) or `dev` (also the tools); CHECKSUM is written into the stamp; `chosen` says that
the user named the interpreter that runs this file, so an environment of another Python version is replaced. Without a
CHECKSUM .venv is brought up to date in any case: so it is called by hand where there is no shell, on Windows.

Standard library only. Two at once: the second waits for the first and then finds the work done. Interrupted: a mark
stays behind, and the next set-up starts from an empty environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "bakeoff-stamp"
UNFINISHED = VENV / "bakeoff-unfinished"
LOCK = ROOT / ".venv.lock"
LOG = ROOT / ".venv.log"
VERSION = "{}.{}".format(*sys.version_info)


class SetUpError(Exception):
    """A step failed; the message says which, and how the log ends."""


def main(arguments: Sequence[str]) -> int:
    """Set up and return the exit status: 0 done, 2 failed, 130 interrupted."""
    level, checksum, chosen = (*arguments, "", "")[:3]
    try:
        with locked() as lock:
            if not is_current(level, checksum, chosen):
                set_up(level, checksum, chosen, lock)
    except SetUpError as error:
        say(str(error))
        return 2
    except OSError as error:
        say(f"cannot set up {VENV}: {error.strerror}: {error.filename}")
        return 2
    except KeyboardInterrupt:
        say("set-up interrupted; the next start begins it again")
        return 130
    return 0


@contextmanager
def locked() -> Iterator[int]:
    """Hold the lock file; yield its descriptor. The kernel frees it when the last holder ends, however it ends."""
    with LOCK.open("w") as file:
        if not take_lock(file.fileno()):
            say("waiting for another set-up of .venv")
            while not take_lock(file.fileno()):
                time.sleep(0.2)
        yield file.fileno()


def take_lock(descriptor: int) -> bool:
    """Lock a file; return whether no other process holds it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def is_current(level: str, checksum: str, chosen: str) -> bool:
    """Tell whether another process did the work while this one waited."""
    stamp = read_stamp()
    if not checksum or len(stamp) != 5 or not PYTHON.exists():
        return False
    same_python = not chosen or stamp[4] == VERSION
    return stamp[0] in (level, "dev") and stamp[1:4] == [checksum, str(ROOT), interpreter_size()] and same_python


def set_up(level: str, checksum: str, chosen: str, lock: int) -> None:
    """Create the environment, or adopt the one that is there; install bakeoff into it; write the stamp."""
    kept_level = "dev" if "dev" in (level, *read_stamp()[:1]) else level
    version = environment_version()
    usable = version is not None and not UNFINISHED.exists() and not (chosen and version != VERSION)
    say(announcement(usable))
    LOG.write_bytes(b"")
    if not usable:
        version = VERSION
        create(lock)
    UNFINISHED.touch()
    STAMP.unlink(missing_ok=True)
    install(kept_level, lock)
    write_stamp([kept_level, checksum, str(ROOT), interpreter_size(), str(version)])
    UNFINISHED.unlink()


def announcement(usable: bool) -> str:
    """Say in one line what is about to happen."""
    tool = "uv" if find_uv() else "pip"
    if usable:
        return f"bringing .venv up to date with {tool} (details in .venv.log)"
    return f"setting up .venv with Python {VERSION} and {tool}: first use only, takes minutes (details in .venv.log)"


def create(lock: int) -> None:
    """Make an empty environment in place of whatever is there."""
    # Never from the environment that is about to be removed.
    base = getattr(sys, "_base_executable", sys.executable)
    if VENV.exists():
        shutil.rmtree(VENV)
    VENV.mkdir()
    UNFINISHED.touch()
    uv = find_uv()
    if uv:
        # uv refuses a folder that is not empty, unless told.
        run_step([uv, "venv", "--allow-existing", "--python", base, str(VENV)], lock)
    else:
        run_step([base, "-m", "venv", str(VENV)], lock, hint="On Debian and Ubuntu: apt install python3-venv.")


def install(level: str, lock: int) -> None:
    """Install bakeoff, editable, with what LEVEL needs, in the versions of constraints.txt."""
    target = f"{ROOT}[{'dev' if level == 'dev' else 'serve'}]"
    requirements = ["--constraint", str(ROOT / "constraints.txt"), "--editable", target]
    uv = find_uv()
    if not uv:
        ensure_pip(lock)
        run_step([str(PYTHON), "-m", "pip", "install", "--no-input", *requirements], lock)
        return
    command = [uv, "pip", "install", "--python", str(PYTHON), *requirements]
    if "UV_TORCH_BACKEND" in os.environ:
        run_step(command, lock)
        return
    try:
        # The build of PyTorch for this machine: without an NVIDIA GPU, several GB less.
        run_step(command, lock, UV_TORCH_BACKEND="auto")
    except SetUpError:
        run_step(command, lock)


def ensure_pip(lock: int) -> None:
    """Give pip to an environment made without it, as uv makes them."""
    if subprocess.run([str(PYTHON), "-m", "pip", "--version"], capture_output=True, check=False).returncode:
        run_step([str(PYTHON), "-m", "ensurepip"], lock)


def run_step(command: Sequence[str], lock: int, hint: str = "", **environment: str) -> None:
    """Run one command, its output in the log.

    Raises:
        SetUpError: when it fails, with the last lines of its output.
    """
    settings = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUNBUFFERED": "1", **environment}
    with LOG.open("ab") as log:
        log.write(f"\n$ {' '.join(command)}\n".encode())
        log.flush()
        # A step that outlives a killed set-up keeps the lock until it ends.
        status = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **settings},
            pass_fds=() if os.name == "nt" else [lock],
            check=False,
        ).returncode
    if status:
        tail = "\n".join(LOG.read_text("utf-8", errors="replace").splitlines()[-12:])
        raise SetUpError(f"set-up failed (exit status {status}); {LOG} ends with:\n{tail}\n{hint}".rstrip())


def environment_version() -> str | None:
    """Return the Python version of .venv ("3.12"), or None when it is missing, broken or too old."""
    program = "import sys; print('%d.%d' % sys.version_info[:2], *sys.version_info[:2], sys.prefix, sep='\\n')"
    try:
        result = subprocess.run([str(PYTHON), "-I", "-c", program], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    version, major, minor, prefix = result.stdout.splitlines()
    library = Path(prefix) / ("Lib" if os.name == "nt" else f"lib/python{version}")
    return version if (int(major), int(minor)) >= (3, 11) and (library / "site-packages").is_dir() else None


def interpreter_size() -> str:
    """Return the interpreter's size in bytes: it changes when the interpreter behind .venv is upgraded."""
    return str(PYTHON.stat().st_size)


def read_stamp() -> list[str]:
    """Return the stamp's lines, none when there is no stamp."""
    try:
        return STAMP.read_text("utf-8").splitlines()
    except OSError:
        return []


def write_stamp(lines: Sequence[str]) -> None:
    """Write the stamp in one step, so that no one reads half of it."""
    temporary = STAMP.with_suffix(".part")
    temporary.write_text("\n".join(lines) + "\n", "utf-8", newline="\n")
    temporary.replace(STAMP)


def find_uv() -> str | None:
    """Return the path of uv, or None."""
    return shutil.which("uv")


def say(message: str) -> None:
    """Print to stderr: stdout belongs to bakeoff."""
    print(f"bakeoff: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
