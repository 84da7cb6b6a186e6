from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from bakeoff.catalog.networks.named import list_network_names
from bakeoff.catalog.recipe import Recipe
from bakeoff.data.registry import DATASETS
from bakeoff.errors import StudyError
from bakeoff.study.load import find_study, list_shipped, load_study
from bakeoff.study.plan import expand
from bakeoff.study.schema import Study
from bakeoff.study.settings import DataSettings

NETWORKS = ", ".join(list_network_names())
RECIPE = ", ".join(Recipe.model_fields)

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


def _answer(text: str | bytes, *overrides: str) -> list[str]:
    """Return what a study file is answered, line by line."""
    Path("s.yaml").write_bytes(text if isinstance(text, bytes) else dedent(text).encode())
    with pytest.raises(StudyError) as caught:
        load_study("s.yaml", overrides)
    return str(caught.value).splitlines()


def test_a_good_file() -> None:
    Path("my study.yaml").write_text(GOOD)
    study = load_study("my study.yaml")
    assert study.name == "my study"
    assert study.question == "Which initializer is best?"
    assert expand(study).arms == ("glorot_uniform", "he_normal")


# The wrong inputs that the study room answers, each with its whole message.


def test_unknown_field() -> None:
    assert _answer(GOOD + "replicate: 3\n") == [
        "s.yaml:7: replicate: unknown field 'replicate', allowed: "
        f"{', '.join(Study.model_fields)}. Did you mean 'replicates'?"
    ]


def test_unknown_field_of_an_optimizer() -> None:
    assert _answer(GOOD.replace("epochs: 3", "optimizer: {name: sgd, momemtum: 0.9}")) == [
        "s.yaml:4: recipe.optimizer.momemtum: unknown field 'momemtum', allowed: name, learning_rate, momentum, "
        "nesterov, weight_decay. Did you mean 'momentum'?"
    ]


def test_recipe_field_at_the_top() -> None:
    assert _answer(GOOD + "epochs: 3\n") == [
        "s.yaml:7: epochs: unknown field 'epochs' here: it belongs to recipe. Did you mean 'recipe.epochs'?"
    ]


def test_wrong_type() -> None:
    assert _answer(GOOD.replace("epochs: 3", "epochs: ten")) == [
        "s.yaml:4: recipe.epochs: given 'ten', allowed a whole number."
    ]


def test_unknown_network() -> None:
    assert _answer(GOOD.replace("network: mlp", "network: lenett")) == [
        f"s.yaml:3: recipe.network: unknown network 'lenett'. Allowed: {NETWORKS}. Did you mean 'lenet'?"
    ]


def test_empty_arms() -> None:
    text = GOOD[: GOOD.index("  - init")].replace("arms:", "arms: []")
    assert _answer(text) == [
        "s.yaml:5: arms: arms is empty: name at least one, for example '- initializer: [he_normal]'"
    ]


def test_impossible_kernel() -> None:
    assert _answer(GOOD.replace("network: mlp", "network: {name: cnn, padding: valid, kernel: 9}")) == [
        "s.yaml:3: recipe.network: cnn on 8x8x1 images: layer 1 (conv, kernel 9, padding valid) does not fit its 8x8x1 "
        "input: make its kernel at most 8, or set padding: same (block 'digits', arm 'glorot_uniform')"
    ]


def test_impossible_kernel_of_one_arm_in_one_block() -> None:
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
    assert _answer(text) == [
        "s.yaml:8: arms.0.large.network.kernel: lenet on 8x8x1 images: layer 3 (conv, kernel 7, padding valid) "
        "does not fit its 1x1x6 input: make its kernel at most 1, or set padding: same (block 'digits', arm 'large')"
    ]


def test_missing_fields() -> None:
    assert _answer("data: {name: digits}\n") == [
        "s.yaml: question: missing: it has no default, give it a value",
        "s.yaml: arms: missing: list the recipes under comparison, or add a search instead",
    ]


def test_unknown_dataset() -> None:
    assert _answer(GOOD + "data: {name: mnits}\n") == [
        "s.yaml:7: data.name: Unknown dataset 'mnits'. Did you mean 'mnist'? "
        f"Known: {', '.join(record.name for record in DATASETS)}."
    ]


def test_unknown_metric() -> None:
    assert _answer(GOOD + "decide: {metric: macro-f1}\n") == [
        "s.yaml:7: decide.metric: given 'macro-f1', allowed 'accuracy', 'loss', 'macro_precision', "
        "'macro_recall' or 'macro_f1'. Did you mean 'macro_f1'?"
    ]


def test_wrong_value_in_an_axis_is_answered_once() -> None:
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
    assert _answer(text) == ["s.yaml:8: arms.0.optimizer.learning_rate.1: given -1, allowed a number above 0."]


def test_every_problem_of_a_file_at_once_and_each_once() -> None:
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
    assert _answer(text) == [
        "s.yaml:1: question: given 3, allowed text.",
        "s.yaml:2: data.validation: given 2, allowed a number below 1 or 'own'.",
        "s.yaml:3: recipe.epochs: given 0, allowed 1 or more.",
        "s.yaml:3: recipe.early_stopping.monitor: given 'acuracy', allowed 'accuracy', 'loss', "
        "'macro_precision', 'macro_recall' or 'macro_f1'. Did you mean 'accuracy'?",
        f"s.yaml:5: blocks.0.data.nam: unknown field 'nam', allowed: {', '.join(DataSettings.model_fields)}. "
        "Did you mean 'name'?",
        "s.yaml:7: blocks.1.b.network.filters.2: missing: it has no default, give it a value",
        f"s.yaml:9: arms.0.initialiser: unknown field 'initialiser', allowed: {RECIPE}. Did you mean 'initializer'?",
        "s.yaml:10: arms.1.x.data.name: data is the same for all arms; arms may change the recipe only. "
        "Vary it in blocks.",
        "s.yaml:11: arms.1.y.batch_size: given 1.5, allowed a whole number.",
        "s.yaml:12: replicates: given 0, allowed 1 or more.",
        f"s.yaml:13: seeds: unknown field 'seeds', allowed: {', '.join(Study.model_fields)}. Did you mean 'seed'?",
    ]


# Files that are no study at all.


def test_missing_file_names_the_nearest_shipped_study() -> None:
    with pytest.raises(StudyError) as caught:
        load_study("quikstart")
    names = [shipped.name for shipped in list_shipped()]
    assert str(caught.value) == (
        f"quikstart: no such file, and no shipped study of this name ({', '.join(names)}). Did you mean 'quickstart'?"
    )


def test_missing_file_names_the_nearest_file() -> None:
    Path("initializers.yaml").write_text(GOOD)
    with pytest.raises(StudyError, match=r"Did you mean 'initializers.yaml'\?$"):
        load_study("initialisers.yaml")


def test_a_folder_is_no_study() -> None:
    Path("here").mkdir()
    Path("here/one.yaml").write_text(GOOD)
    with pytest.raises(StudyError) as caught:
        load_study("here")
    assert str(caught.value) == "here: a folder, not a study file. It contains one.yaml."


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (b"", "s.yaml: the file is empty: start with 'question: ...'"),
        (b"# a comment\n", "s.yaml: the file is empty: start with 'question: ...'"),
        (b"- a\n- b\n", "s.yaml:1: given ['a', 'b'], allowed a mapping: lines such as 'question: ...'"),
        (b"hello", "s.yaml:1: given 'hello', allowed a mapping: lines such as 'question: ...'"),
        (b"\x89PNG\r\n\x1a\n\x00", "s.yaml: not UTF-8 text: a study file is YAML"),
        (b"question: a\nname: \x07\n", "s.yaml:2: not a text file: it contains the character U+0007"),
        (b"question: a\n\tname: b\n", "s.yaml:2: not YAML: indented with a tab, use spaces"),
        (b"question: a\narms: [a, b\n", "s.yaml:3: not YAML: expected ',' or ']', but got '<stream end>'"),
        (b"question: a\n---\nquestion: b\n", "s.yaml:2: not YAML: but found another document"),
        (b"x" * 1_000_001, "s.yaml: too large: a study file has at most 1,000,000 bytes"),
        (b"arms: " + b"[" * 100_000, "s.yaml:1: nested deeper than 30 levels"),
    ],
    ids=["empty", "comment", "list", "text", "binary", "control", "tab", "open", "two", "large", "deep"],
)
def test_no_study(content: bytes, answer: str) -> None:
    (line,) = _answer(content)
    assert line.startswith(answer)


def test_unreadable_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    Path("s.yaml").write_text(GOOD)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StudyError) as caught:
        load_study("s.yaml")
    assert str(caught.value) == "s.yaml: cannot be read: Permission denied"


# Overrides.


def test_a_value_given_by_set_is_answered_as_such() -> None:
    assert _answer(GOOD, "recipe.epochs=0", "recipe.epoch=3", "decide.margin=x") == [
        "--set: decide.margin: given 'x', allowed a number.",
        "--set: recipe.epochs: given 0, allowed 1 or more.",
        f"--set: recipe.epoch: unknown field 'epoch', allowed: {RECIPE}. Did you mean 'epochs'?",
    ]


def test_set_and_file_problems_come_together() -> None:
    assert _answer(GOOD.replace("mlp", "mpl"), "arms.3.x=1") == [
        "--set: arms: no '3' here, allowed 0 to 0",
        f"s.yaml:3: recipe.network: unknown network 'mpl'. Allowed: {NETWORKS}. Did you mean 'mlp'?",
    ]


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
