"""What Linux, macOS and Windows do not share is called in `bakeoff.system` alone; its other branches work."""

from __future__ import annotations

import ast
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bakeoff import system

SOURCE = Path(__file__).resolve().parent.parent / "src"
FILES = {
    path.relative_to(SOURCE).as_posix(): path
    for path in sorted((SOURCE / "bakeoff").rglob("*.py"))
    if path != SOURCE / "bakeoff" / "system.py"
}

MODULES = {"_winapi", "fcntl", "grp", "msvcrt", "posix", "pty", "pwd", "resource", "select", "syslog", "termios", "tty"}
MODULES |= {"winreg"}

# Attributes that one of the three systems lacks, or by which a module tells them apart.
ATTRIBUTES = {
    "ctypes": {"WinDLL", "windll"},
    "mmap": {name for name in dir(__import__("mmap")) if name.startswith(("MADV", "MAP_", "PROT_"))},
    "os": {"name", "rename", "replace", "startfile"},
    "signal": {name for name in dir(__import__("signal")) if name.startswith(("SIG", "CTRL"))}
    - {"SIGINT", "SIGTERM", "SIG_IGN", "SIG_DFL"}
    | {"alarm", "pause", "setitimer", "pthread_kill", "pthread_sigmask", "sigwait"},
    "socket": {"AF_UNIX", "fromfd", "recv_fds", "send_fds", "socketpair"},
    "sys": {"platform", "getwindowsversion"},
}
ON_POSIX_ALONE = """
    chown chroot ctermid fchdir fchmod fchown fork forkpty fpathconf getegid geteuid getgid getgroups getloadavg getpgid
    getpgrp getpriority getsid getuid initgroups kill killpg lchown lockf major makedev memfd_create minor mkfifo mknod
    nice openpty pathconf pipe2 posix_fadvise posix_fallocate posix_spawn pread preadv pwrite pwritev register_at_fork
    sched_getaffinity sched_setaffinity sched_yield sendfile setegid seteuid setgid setpgid setpriority setregid setsid
    setuid statvfs sync sysconf tcgetpgrp ttyname uname wait wait3 wait4 waitid O_CLOEXEC O_DIRECTORY O_DSYNC O_NOATIME
    O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH O_SYNC O_TMPFILE O_BINARY
"""
ATTRIBUTES["os"] |= set(ON_POSIX_ALONE.split())

KEYWORDS = {"pass_fds", "preexec_fn", "process_group", "start_new_session", "startupinfo", "umask"}
FOLDERS = ("/dev/", "/proc/", "/sys/", "/tmp/", "/usr/")


def find_breaches(source: str) -> Iterator[str]:
    """Yield "line: what" for all that only some systems have, or that each does in its own way."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found = [name.name for name in names if name.name.partition(".")[0] in MODULES]
            case ast.ImportFrom(module=str(module), names=names):
                own = ATTRIBUTES.get(module, set())
                found = [f"{module}.{name.name}" for name in names if module in MODULES or name.name in own]
            case ast.Attribute(value=ast.Name(id=module), attr=name) if name in ATTRIBUTES.get(module, set()):
                found = [f"{module}.{name}"]
            case ast.Call():
                found = list(_check_call(node))
            case ast.Constant(value=str(text)) if text.startswith(FOLDERS):
                found = [text]
            case _:
                found = []
        yield from (f"{getattr(node, 'lineno', 0)}: {each}" for each in found)


def _check_call(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    yield from KEYWORDS & set(given) if name.startswith("subprocess.") else ()
    if name in {"getattr", "hasattr"} and ast.unparse(node.args[0]) in ATTRIBUTES:
        yield ast.unparse(node)
    if name.endswith("get_context") and ast.unparse(node.args[0]) != "'spawn'":
        yield "processes that are not spawned"
    if name.endswith(".rename") and not name.startswith("system."):
        yield "rename"
    if _is_text(node, name.rpartition(".")[2], given) and "encoding" not in given:
        yield f"{name} without an encoding"


def _is_text(node: ast.Call, name: str, given: dict[str | None, ast.expr]) -> bool:
    """Return whether a call reads or writes text, in the encoding of the system unless one is given."""
    if name == "read_text":
        return not node.args and "cifar" not in ast.unparse(node.func)
    if name == "write_text":
        return len(node.args) < 2
    if name in {"run", "Popen", "check_output"} and ast.unparse(node.func).startswith("subprocess."):
        return ast.unparse(given.get("text", ast.Constant(False))) == "True"
    modes = [each.value for each in (*node.args, *given.values()) if isinstance(each, ast.Constant)]
    is_open = name == "open" and ast.unparse(node.func) in {"open", "path.open", "os.fdopen"}
    return is_open and not any(isinstance(mode, str) and "b" in mode for mode in modes)


@pytest.mark.parametrize("file", FILES)
def test_only_one_module_knows_which_system_it_runs_on(file: str) -> None:
    assert list(find_breaches(FILES[file].read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import fcntl",
        "from select import poll",
        "from os import fork",
        "os.killpg(1, 2)",
        "signal.SIGKILL",
        "os.name == 'nt'",
        "hasattr(os, 'sysconf')",
        "subprocess.run(['a'], pass_fds=[3])",
        "subprocess.run(['a'], text=True)",
        "path.rename(other)",
        "os.replace(a, b)",
        "path.read_text()",
        "path.open('w')",
        "path.write_text(text)",
        "multiprocessing.get_context('fork')",
        "Path('/proc/cpuinfo')",
    ],
)
def test_the_rule_sees_a_breach(source: str) -> None:
    assert len(list(find_breaches(source))) == 1


def test_the_rule_allows_what_all_have() -> None:
    source = "import os\nsignal.SIGINT\npath.open('rb')\npath.read_text('utf-8')\nsubprocess.run(['a'], check=True)\n"
    assert list(find_breaches(source)) == []


@pytest.fixture
def on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "IS_WINDOWS", True)
    monkeypatch.setattr(system, "_RETRY_SECONDS", (0.0,) * 5)


@pytest.mark.parametrize("refusals", [0, 3, 5, 6])
def test_a_file_in_use_is_waited_for_on_windows(
    on_windows: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    (tmp_path / "new").write_text("new")
    (tmp_path / "old").write_text("old")
    rename, left = os.replace, [PermissionError(13, "in use")] * refusals

    def refuse(*paths: Path) -> None:
        if left:
            raise left.pop()
        rename(*paths)

    monkeypatch.setattr(os, "replace", refuse)
    if refusals > 5:
        with pytest.raises(PermissionError):
            system.rename(tmp_path / "new", tmp_path / "old")
    else:
        system.rename(tmp_path / "new", tmp_path / "old")
        assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_elsewhere_a_refusal_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def refuse(*paths: Path) -> None:
        tries.append(paths)
        raise PermissionError(13, "no")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        system.rename(tmp_path / "new", tmp_path / "old")
    assert len(tries) == 1


def test_the_launcher_of_a_virtual_environment_is_passed_over(
    on_windows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "venv/Scripts/python.exe")
    monkeypatch.setattr(sys, "_base_executable", "Python312/python.exe", raising=False)
    assert system.find_interpreter() == (
        "Python312/python.exe",
        {"__PYVENV_LAUNCHER__": "venv/Scripts/python.exe"},
    )
    monkeypatch.setattr(system, "IS_WINDOWS", False)
    assert system.find_interpreter() == ("venv/Scripts/python.exe", {})


def test_cores_are_counted_without_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    by_affinity = system.count_available_cores()
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert system.count_available_cores() == os.cpu_count()
    monkeypatch.setattr(system, "IS_WINDOWS", True)
    assert system.count_available_cores() == by_affinity


def test_a_folder_is_not_opened_on_windows(on_windows: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", None)
    system.flush_folder(tmp_path)


def test_an_entry_has_the_inode_that_its_path_has(on_windows: None, tmp_path: Path) -> None:
    """Windows lists entries without an inode, so a stamp of one would differ from the stamp of its path."""

    class Entry:
        path = str(tmp_path)

        def stat(self) -> os.stat_result:
            return os.stat_result((stat.S_IFDIR, 0, 0, 0, 0, 0, 0, 0, 0, 0))

    assert system.stat_entry(Entry()).st_ino == tmp_path.stat().st_ino  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "allowed"),
    [("aux.v2-1a", "_aux.v2-1a"), ("COM1", "_COM1"), ("auxiliary-1a", "auxiliary-1a"), ("con-1a", "con-1a")],
)
def test_reserved_names_are_avoided(name: str, allowed: str) -> None:
    assert system.avoid_reserved(name) == allowed


WITHOUT_POSIX = """
import os, select, signal, socket, subprocess, sys
import asyncio, filelock, multiprocessing.connection, psutil  # they use on Linux what is deleted below

def refuse_open_files(event, arguments):
    # Windows neither renames nor deletes what this process has open or mapped.
    if event not in ("os.rename", "os.remove", "os.rmdir"):
        return
    held = {link(f"/proc/self/fd/{number}") for number in listdir("/proc/self/fd")}
    with open("/proc/self/maps") as maps:
        held |= {line.split(maxsplit=5)[5].strip() for line in maps if line.count(" ") > 5 and "/" in line}
    for path in arguments[:1] if event != "os.rename" else arguments[:2]:
        whole = os.path.abspath(os.fsdecode(path))
        own = [each for each in held if each == whole or each.startswith(whole + "/")]
        if own and not whole.startswith(("/proc", sys.prefix)) and not whole.endswith(IN_LIBRARIES):
            raise PermissionError(13, f"open in this process: {own}", whole)

IN_LIBRARIES = (".lock", ".sqlite-wal", ".sqlite-shm", ".sqlite-journal")  # filelock and SQLite have their own ways

def listdir(folder):
    return os.listdir(folder)

def link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""

start = subprocess.Popen.__init__

def start_as_windows(self, *arguments, **options):
    assert not set(options) & {"pass_fds", "preexec_fn", "start_new_session"}, options
    start(self, *arguments, **options)

subprocess.Popen.__init__ = start_as_windows
for module, names in (
    (os, "fork forkpty killpg setsid getpgid sched_getaffinity sysconf O_DIRECTORY"),
    (select, "poll epoll"),
    (signal, "SIGHUP SIGUSR1 SIGSTOP SIGCONT SIGALRM"),
    (socket, "AF_UNIX socketpair"),
):
    for name in names.split():
        delattr(module, name)
sys.addaudithook(refuse_open_files)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_study_runs_without_what_windows_lacks(tmp_path: Path) -> None:
    """In the driver and in its workers: no POSIX name, no renaming or deleting of open files."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WITHOUT_POSIX)
    _make_photos(tmp_path / "photos")
    (tmp_path / "study.yaml").write_text(
        "question: q\ndata: {folder: photos, image_size: 8}\n"
        "recipe: {epochs: 2, network: {name: mlp, units: [4]}}\n"
        "arms:\n  - a: {initializer: glorot_normal}\n    b: {initializer: he_normal}\nreplicates: 2\n"
    )
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(SOURCE)]),
        "BAKEOFF_CACHE": str(tmp_path / "cache"),
        "PYTHONUTF8": "0",
    }
    for arguments in (["plan", "study.yaml"], ["run", "study.yaml"], ["report", "study"], ["doctor"], ["gc"]):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "bakeoff", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    assert list((tmp_path / "runs" / "trials").rglob("test.npz"))
    assert list((tmp_path / "cache").rglob("*.part*")) == []


def _make_photos(folder: Path) -> None:
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(40):
            pixels = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


def test_what_a_worker_prints_while_it_starts_is_no_report(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('hello', end='')")
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from bakeoff.driver.executors.base import TaskLost\n"
        "from bakeoff.driver.executors.local import LocalExecutor\n"
        "from bakeoff.messages import ProbeTask\n"
        "executor = LocalExecutor(1, Path(sys.argv[1]), None)\n"
        "executor.submit(ProbeTask(probe_id='p', label='', members=(), data=None))\n"
        "reports = []\n"
        "while not any(isinstance(report, TaskLost) for report in reports):\n"
        "    reports += executor.poll(0.5)\n"
        "executor.close()\n"
        "assert not reports[-1].died, reports\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(SOURCE)])}
    command = [sys.executable, "-P", "-c", program, str(tmp_path / "runs")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
