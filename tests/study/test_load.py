from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from bakeoff.catalog.networks.named import list_network_names
from bakeoff.catalog.optimizers import SGD
from bakeoff.data.registry import DATASETS
from bakeoff.errors import StudyError
from bakeoff.stats.metrics import METRICS
from bakeoff.study.load import find_study, list_shipped, load_study
from bakeoff.study.plan import expand

Facts = tuple[str, ...]
Answer = Callable[..., list[Facts]]

GOOD = """\
question: Which initializer is best?
recipe:
  network: mlp
  epochs: 3
arms:
  - initializer: [glorot_uniform, he_normal]
"""


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def answer(refuse: Callable[..., list[Facts]]) -> Answer:
    """Return a function that writes a study file; it returns the facts of every problem in it."""

    def load(text: str | bytes, *overrides: str) -> list[Facts]:
        Path("s.yaml").write_bytes(text if isinstance(text, bytes) else dedent(text).encode())
        return refuse(load_study, "s.yaml", overrides)

    return load


def test_a_good_file() -> None:
    Path("my study.yaml").write_text(GOOD)
    study = load_study("my study.yaml")
    assert study.name == "my study"
    assert study.question == "Which initializer is best?"
    assert expand(study).arms == ("glorot_uniform", "he_normal")


# Wrong inputs: each problem is placed, and names the culprit first and the remedy last.


def test_unknown_field(answer: Answer) -> None:
    assert answer(GOOD + "replicate: 3\n") == [("s.yaml:7: replicate", "replicate", "replicates")]


def test_unknown_field_of_an_optimizer(answer: Answer) -> None:
    text = GOOD.replace("epochs: 3", "optimizer: {name: sgd, momemtum: 0.9}")
    assert answer(text) == [("s.yaml:4: recipe.optimizer.momemtum", "momemtum", "momentum")]


def test_allowed_fields_are_listed() -> None:
    Path("s.yaml").write_text(GOOD.replace("epochs: 3", "optimizer: {name: sgd, zzz: 0.9}"))
    with pytest.raises(StudyError, match=", ".join(SGD.model_fields)):
        load_study("s.yaml")


def test_recipe_field_at_the_top(answer: Answer) -> None:
    assert answer(GOOD + "epochs: 3\n") == [("s.yaml:7: epochs", "epochs", "recipe.epochs")]


def test_wrong_type(answer: Answer) -> None:
    assert answer(GOOD.replace("epochs: 3", "epochs: ten")) == [("s.yaml:4: recipe.epochs", "ten")]


def test_unknown_network(answer: Answer) -> None:
    (found,) = answer(GOOD.replace("network: mlp", "network: lenett"))
    assert (found[:2], found[-1]) == (("s.yaml:3: recipe.network", "lenett"), "lenet")
    with pytest.raises(StudyError, match=", ".join(list_network_names())):
        load_study("s.yaml")


def test_empty_arms(answer: Answer) -> None:
    text = GOOD[: GOOD.index("  - init")].replace("arms:", "arms: []")
    (found,) = answer(text)
    assert (found[0], "initializer" in found[-1]) == ("s.yaml:5: arms", True)


def test_impossible_kernel(answer: Answer) -> None:
    """The layer, its kernel, its input and the largest kernel that fits, and which block and arm meet it."""
    assert answer(GOOD.replace("network: mlp", "network: {name: cnn, padding: valid, kernel: 9}")) == [
        ("s.yaml:3: recipe.network", "8x8x1", "1", "9", "8x8x1", "8", "digits", "glorot_uniform")
    ]


def test_impossible_kernel_of_one_arm_in_one_block(answer: Answer) -> None:
    text = """\
        question: Which kernel?
        recipe: {network: lenet}
        blocks:
          - data.name: [mnist, digits]
        arms:
          - small: {network: {kernel: 3, padding: same}}
            large:
              network.kernel: 7
    """
    assert answer(text) == [
        ("s.yaml:8: arms.0.large.network.kernel", "8x8x1", "3", "7", "1x1x6", "1", "digits", "large")
    ]


def test_missing_fields(answer: Answer) -> None:
    assert answer("data: {name: digits}\n") == [("s.yaml: question",), ("s.yaml: arms",)]


def test_unknown_dataset(answer: Answer) -> None:
    (found,) = answer(GOOD + "data: {name: mnits}\n")
    assert found[:3] == ("s.yaml:7: data.name", "mnits", "mnist")
    with pytest.raises(StudyError, match=", ".join(record.name for record in DATASETS)):
        load_study("s.yaml")


def test_unknown_metric(answer: Answer) -> None:
    assert answer(GOOD + "decide: {metric: macro-f1}\n") == [
        ("s.yaml:7: decide.metric", "macro-f1", *METRICS.names, "macro_f1")
    ]


def test_wrong_value_in_an_axis_is_answered_once(answer: Answer) -> None:
    text = """\
        question: Which rate?
        recipe: {network: mlp}
        blocks:
          - data.name: [digits, mnist]
        arms:
          - optimizer.learning_rate:
              - 0.1
              - -1
          - epochs: [3, 4]
    """
    assert answer(text) == [("s.yaml:8: arms.0.optimizer.learning_rate.1", "-1", "0")]


def test_every_problem_of_a_file_at_once_and_each_once(answer: Answer) -> None:
    text = """\
        question: 3
        data: {name: mnist, validation: 2}
        recipe: {epochs: 0, early_stopping: {monitor: acuracy, patience: 3}}
        blocks:
          - data.nam: [mnist]
          - a: {network: lenet}
            b: {network: {name: modnet1, filters: [1, 2]}}
        arms:
          - initialiser: [he_normal, he_uniform]
          - x: {data.name: digits}
            y: {batch_size: 1.5}
        replicates: 0
        seeds: 1
    """
    assert answer(text) == [
        ("s.yaml:1: question", "3"),
        ("s.yaml:2: data.validation", "2", "1", "own"),
        ("s.yaml:3: recipe.epochs", "0", "1"),
        ("s.yaml:3: recipe.early_stopping.monitor", "acuracy", *METRICS.names, "accuracy"),
        ("s.yaml:5: blocks.0.data.nam", "nam", "name"),
        ("s.yaml:7: blocks.1.b.network.filters.2",),
        ("s.yaml:9: arms.0.initialiser", "initialiser", "initializer"),
        ("s.yaml:10: arms.1.x.data.name",),
        ("s.yaml:11: arms.1.y.batch_size", "1.5"),
        ("s.yaml:12: replicates", "0", "1"),
        ("s.yaml:13: seeds", "seeds", "seed"),
    ]


# Files that are no study at all.


def test_missing_file_names_the_nearest_shipped_study() -> None:
    with pytest.raises(StudyError) as caught:
        load_study("quikstart")
    assert str(caught.value).startswith("quikstart: ")
    assert str(caught.value).endswith("'quickstart'?")
    assert ", ".join(shipped.name for shipped in list_shipped()) in str(caught.value)


def test_missing_file_names_the_nearest_file() -> None:
    Path("initializers.yaml").write_text(GOOD)
    with pytest.raises(StudyError, match=r"(?m)^initialisers.yaml: .*'initializers.yaml'\?$"):
        load_study("initialisers.yaml")


def test_a_folder_is_no_study() -> None:
    Path("here").mkdir()
    Path("here/one.yaml").write_text(GOOD)
    with pytest.raises(StudyError, match=r"^here: .*folder.* one\.yaml"):
        load_study("here")


@pytest.mark.parametrize(
    ("content", "place", "word"),
    [
        (b"", "s.yaml", "empty"),
        (b"# a comment\n", "s.yaml", "empty"),
        (b"- a\n- b\n", "s.yaml:1", "mapping"),
        (b"hello", "s.yaml:1", "mapping"),
        (b"\x89PNG\r\n\x1a\n\x00", "s.yaml", "UTF-8"),
        (b"question: a\nname: \x07\n", "s.yaml:2", "U+0007"),
        (b"question: a\n\tname: b\n", "s.yaml:2", "tab"),
        (b"question: a\narms: [a, b\n", "s.yaml:3", "']'"),
        (b"question: a\n---\nquestion: b\n", "s.yaml:2", "another document"),
        (b"x" * 1_000_001, "s.yaml", "1,000,000 bytes"),
        (b"arms: " + b"[" * 100_000, "s.yaml:1", "30 levels"),
    ],
    ids=["empty", "comment", "list", "text", "binary", "control", "tab", "open", "two", "large", "deep"],
)
def test_no_study(content: bytes, place: str, word: str) -> None:
    Path("s.yaml").write_bytes(content)
    with pytest.raises(StudyError) as caught:
        load_study("s.yaml")
    (problem,) = caught.value.problems
    assert (problem.place, problem.field) == (place, "")
    assert word in problem.message


def test_unreadable_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    Path("s.yaml").write_text(GOOD)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StudyError, match=r"^s.yaml: .*Permission denied"):
        load_study("s.yaml")


# Overrides.


def test_a_value_given_by_set_is_answered_as_such(answer: Answer) -> None:
    assert answer(GOOD, "recipe.epochs=0", "recipe.epoch=3", "decide.margin=x") == [
        ("--set: decide.margin", "x"),
        ("--set: recipe.epochs", "0", "1"),
        ("--set: recipe.epoch", "epoch", "epochs"),
    ]


def test_set_and_file_problems_come_together(answer: Answer) -> None:
    first, second = answer(GOOD.replace("mlp", "mpl"), "arms.3.x=1")
    assert first == ("--set: arms", "3", "0", "0")
    assert (second[:2], second[-1]) == (("s.yaml:3: recipe.network", "mpl"), "mlp")


# Shipped studies.


def test_weight_init_is_system_1_in_full() -> None:
    plan = expand(load_study("weight-init"))
    assert (len(plan.blocks), len(plan.arms), len(plan.trials)) == (12, 9, 540)
    assert plan.notes == ()
    optimizers = {(trial.recipe.network.name, trial.recipe.optimizer.name) for trial in plan.trials}
    assert optimizers == {("lenet", "adam"), ("modnet1", "sgd"), ("modnet2", "sgd")}
    assert {trial.recipe.optimizer.learning_rate for trial in plan.trials} == {0.001}
    assert {getattr(trial.recipe.optimizer, "momentum", 0.9) for trial in plan.trials} == {0.9}
    assert {trial.recipe.batch_size for trial in plan.trials} == {32}
    assert {trial.recipe.epochs for trial in plan.trials} == {200}
    assert {trial.recipe.initializer.where for trial in plan.trials} == {"convolutions"}
    stopping = plan.trials[0].recipe.early_stopping
    assert stopping is not None
    assert (stopping.monitor, stopping.patience) == ("loss", 8)


def test_weight_init_can_be_cut_down() -> None:
    cuts = ["blocks.0.data.name=[mnist, fashion-mnist, cifar10]", "blocks.1=[lenet, modnet1]", "replicates=3"]
    plan = expand(load_study("weight-init", [*cuts, "recipe.epochs=3"]))
    assert len(plan.trials) == 3 * 2 * 9 * 3
    assert {trial.recipe.epochs for trial in plan.trials} == {3}


def test_quickstart_is_small() -> None:
    plan = expand(load_study("quickstart"))
    assert (len(plan.blocks), len(plan.arms), len(plan.trials)) == (1, 3, 15)


def test_every_shipped_study_loads() -> None:
    for shipped in list_shipped():
        study = load_study(shipped.name)
        assert (study.name, study.question) == (shipped.name, shipped.question)
        assert find_study(shipped.name) == shipped.path


def test_a_file_goes_before_a_shipped_study() -> None:
    Path("quickstart").write_text(GOOD)
    assert load_study("quickstart").question == "Which initializer is best?"
