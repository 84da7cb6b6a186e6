"""Study files that are made to harm: each ends in a plan, or in one clear line that names the culprit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bakeoff import cli
from bakeoff.errors import StudyError
from bakeoff.study.document import find_hidden
from bakeoff.study.load import load_study
from bakeoff.study.plan import expand

ROOT = Path(__file__).resolve().parents[2]
GOOD = "question: q\nrecipe: {network: mlp}\narms: [{epochs: [1, 2]}]\n"


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _answer(text: str, *overrides: str) -> list[str]:
    Path("s.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(StudyError) as caught:
        load_study("s.yaml", overrides)
    return str(caught.value).split("\n")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("seed: 0x" + "f" * 5000, "s.yaml:4: seed: given '0x"),
        ("seed: 0o" + "7" * 5000, "s.yaml:4: seed: given '0o"),
        ("seed: " + "9" * 4000, "s.yaml:4: seed: given '9"),
    ],
)
def test_a_number_too_large_to_be_shown(text: str, place: str) -> None:
    line, _ = _answer(GOOD + text)
    assert line.startswith(place)
    assert line.endswith("..., allowed a number of a usual size")


@pytest.mark.parametrize(
    ("written", "character"),
    [("\\e[31m", "U+001B"), ("\\0", "U+0000"), ("\\u202e", "U+202E"), ("a\\rb", "U+000D"), ("\\ud800", "U+D800")],
)
def test_what_cannot_be_seen_is_refused(written: str, character: str) -> None:
    says = f"the character {character}, which is invisible: leave it out"
    assert _answer(GOOD.replace("question: q", f'question: "{written}"'))[0] == f"s.yaml:1: question: contains {says}"
    in_key = _answer(GOOD + f'"{written}": 3\n')[0]
    assert in_key.startswith("s.yaml:4: the key '")
    assert in_key.endswith(says)


def test_half_a_surrogate_pair_anywhere() -> None:
    for field in ("search", "name", "numeric", "blocks", "decide"):
        assert _answer(f'{GOOD}{field}: "\\ud800"\n')[0].startswith(f"s.yaml:4: {field}: contains the character U+D800")


def test_usual_text_is_no_hidden_text() -> None:
    assert [find_hidden(text) for text in ("plain", "naïve 猫 😀", "two\nlines\tand a tab", "")] == [""] * 4


def test_keys_are_names() -> None:
    assert _answer(GOOD + '"a\\nb": 3')[0].startswith(r"s.yaml:4: the key 'a\nb' contains the character U+000A")
    assert _answer(GOOD + '" ": 3') == ["s.yaml:4: the key ' ' is blank: give it a name"]
    (line,) = _answer(f"{GOOD}? {'k' * 9000}\n: 3\n")
    assert line.startswith("s.yaml:4: a key of 9,000 characters, 'kkk")
    assert len(line) < 150


def test_many_problems_of_the_text_are_cut_short() -> None:
    lines = _answer(GOOD + "".join(f"a{number}: !own x\n" for number in range(3000)))
    assert len(lines) == 51
    assert lines[-1] == "and perhaps more: the rest was not read"


def test_cases_that_build_on_each_other_end() -> None:
    cases = ", ".join(f"a{n}: {{from: a{n - 1}, batch_size: {n}}}" for n in range(1, 2000))
    lines = _answer(f"question: q\nrecipe: {{network: mlp}}\narms:\n- {{a0: {{epochs: 1}}, {cases}}}\n")
    assert "s.yaml:4: arms.0.a1970.from: 31 cases build on each other with 'from', allowed 30" not in lines[:1]
    assert lines[0].endswith("31 cases build on each other with 'from', allowed 30")
    assert len(lines) == 51
    assert lines[-1].startswith("and ")


def test_a_thousand_million_arms() -> None:
    axes = "".join(f"- {name}: [{', '.join(map(str, range(1, 1001)))}]\n" for name in ("epochs", "batch_size", "x"))
    lines = _answer(f"question: q\nrecipe: {{network: mlp}}\narms:\n{axes}")
    assert lines == ["s.yaml:3: arms: 1,000,000,000 combinations of blocks and arms, allowed 20,000"]


def test_a_deep_override() -> None:
    (line,) = _answer(GOOD, f"recipe{'.a' * 100_000}=3")
    assert line.endswith("nested deeper than 30 levels")
    assert len(line) < 150


@pytest.mark.parametrize("name", ["../../up", "/abs", "..", ".hidden", "a/b", "a\\b"])
def test_a_name_stays_inside_the_workspace(name: str) -> None:
    (line,) = _answer(f"{GOOD}name: '{name}'\n")
    assert line.startswith("s.yaml:4: name: ")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "a\x1b[2J", "/dev/null", "."])
def test_a_path_that_is_no_study(name: str) -> None:
    with pytest.raises(StudyError) as caught:
        load_study(name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 2000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for() -> None:
    os.mkfifo("pipe.yaml")
    with pytest.raises(StudyError, match=r"^pipe.yaml: not a regular file"):
        load_study("pipe.yaml")


def test_a_link_to_itself() -> None:
    Path("loop.yaml").symlink_to("loop.yaml")
    with pytest.raises(StudyError, match=r"^loop.yaml: no such file"):
        load_study("loop.yaml")


def test_whose_code_runs_is_said() -> None:
    text = GOOD.replace("[{epochs: [1, 2]}]", "[{network: [mlp, 'mine.nets:Net', 'torchvision:resnet18']}]")
    Path("s.yaml").write_text(text.replace("network: mlp", "epochs: 1"))
    notes = expand(load_study("s.yaml")).notes
    assert notes == ("runs the code of the module mine.nets (network mine.nets:Net).",)


def test_whose_code_a_search_runs_is_said() -> None:
    search = "search: {name: optuna, trials: 4, space: {network: [mlp, 'mine:Net']}}"
    Path("s.yaml").write_text(f"question: q\nrecipe: {{network: mlp}}\n{search}\n")
    assert "runs the code of the module mine (network mine:Net)." in expand(load_study("s.yaml")).notes


def test_planning_runs_no_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text("open('PWNED', 'w')\nclass Net: pass\n")
    Path("s.yaml").write_text(GOOD.replace("network: mlp", "network: 'mine:Net'"))
    monkeypatch.setattr(sys, "argv", ["bakeoff", "plan", "s.yaml"])
    assert cli.main() == 0
    assert "runs the code of the module mine (network mine:Net)." in " ".join(capsys.readouterr().out.split())
    assert not Path("PWNED").exists()


def test_messages_do_not_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bakeoff", "plan", "\x1b[2J\u202e.yaml"])
    assert cli.main() == 2
    (line,) = capsys.readouterr().err.rstrip("\n").split("\n")
    assert line.startswith("error: ")
    assert line.isprintable()


@pytest.mark.parametrize(
    ("studies", "files"), [(20, 0), pytest.param(0, 300, marks=pytest.mark.slow)], ids=["studies", "files"]
)
def test_the_program_in_small(studies: int, files: int) -> None:
    program = [sys.executable, str(ROOT / "benchmarks" / "hostile.py"), f"--studies={studies}", f"--files={files}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    found = subprocess.run(program, capture_output=True, text=True, check=False, env=environment)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    assert found.stdout.splitlines()[-1].startswith(("21 inputs, 0 failed", "300 inputs, 0 failed"))


def test_a_name_that_fills_screens_is_not_repeated_whole() -> None:
    text = f"question: q\nrecipe: {{network: mlp}}\narms:\n- epochs: [1, 2]\ndata: {{name: {'x' * 50_000}}}\n"
    (line,) = _answer(text)
    assert "Unknown dataset" in line
    assert len(line) < 2_000
