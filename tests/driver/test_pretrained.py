"""`normalize: pretrained`: its numbers are those of the network's weights, and part of every id."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from bakeoff.driver import pretrained
from bakeoff.driver.facts import ImageFacts
from bakeoff.driver.identity import identify
from bakeoff.driver.pretrained import (
    describe_preparation,
    find_config,
    keep_names,
    resolve_normalization,
    resolve_trial,
)
from bakeoff.errors import NetworkError
from bakeoff.study.candidates import make_recipe
from bakeoff.study.plan import Plan

MakePlan = Callable[..., Plan]
Answer = Mapping[str, Any] | str

LITE = "timm:tf_efficientnet_lite0"
CLIP = {"mean": [0.48, 0.46, 0.41], "sd": [0.27, 0.26, 0.28]}


def config(**changes: Any) -> dict[str, Any]:
    plain = {"mean": [0.5] * 3, "sd": [0.5] * 3, "size": [224, 224], "interpolation": "bicubic", "crop_ratio": 0.875}
    return {**plain, **changes}


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[list[str]]]:
    """Replace timm's process and version; return the networks of every call."""

    def install(answers: Mapping[str, Answer], version: str = "1.0") -> list[list[str]]:
        asked: list[list[str]] = []

        def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
            networks = command[command.index("bakeoff.engine.pretrained") + 1 :]
            asked.append([*networks])
            answer = json.dumps({name: answers[name] for name in networks})
            return subprocess.CompletedProcess(command, 0, f"{answer}\n", "")

        monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(pretrained, "_ANSWERS", {})
        monkeypatch.setattr(pretrained, "version", lambda package: version)
        monkeypatch.setattr(pretrained.subprocess, "run", run)  # type: ignore[attr-defined]  # the module's own import
        return asked

    return install


def plan_arms(make_plan: MakePlan, *arms: Mapping[str, Any]) -> Plan:
    named = {f"arm{number}": {"transfer": {"weights": "imagenet"}, **arm} for number, arm in enumerate(arms)}
    return make_plan([named])


def list_ids(plan: Plan, facts: ImageFacts) -> list[str]:
    datasets = {trial.data.source: facts for trial in plan.trials}
    return [identify(resolve_trial(trial), datasets, "float32").trial_id for trial in plan.trials]


def normalize(mean: Any, sd: Any = None) -> dict[str, Any]:
    return {"augmentation": [{"name": "normalize", "mean": mean, "sd": mean if sd is None else sd}]}


def test_torchvisions_are_known_without_asking() -> None:
    assert find_config("torchvision:resnet18").name_statistics() == ("imagenet", "imagenet")
    assert find_config("torchvision:efficientnet_v2_l").name_statistics() == ((0.5,), (0.5,))


def test_timm_is_asked_once_per_version(timm: Callable[..., list[list[str]]], make_plan: MakePlan) -> None:
    answers = {LITE: config(), "timm:clip": config(**CLIP)}
    plan = plan_arms(make_plan, {"network": LITE}, {"network": "timm:clip"})
    num_calls = []
    for version in ("1.0", "1.0", "1.1"):
        asked = timm(answers, version)
        describe_preparation(plan, {})
        found = [resolve_trial(trial).recipe.augmentation[-1] for trial in plan.trials]
        assert [(step.mean, step.sd) for step in found] == [  # type: ignore[attr-defined]  # they are normalize
            ((0.5,), (0.5,)),
            (tuple(CLIP["mean"]), tuple(CLIP["sd"])),
        ]
        num_calls.append(len(asked))
    assert num_calls == [1, 0, 1]


def test_an_unknown_network_is_named_with_block_and_arm(
    timm: Callable[..., list[list[str]]], make_plan: MakePlan
) -> None:
    timm({"timm:nope": "timm has no configuration nope."})
    (trial,) = plan_arms(make_plan, {"network": "timm:nope"}).trials
    with pytest.raises(NetworkError, match="arm 'arm0': timm has no configuration nope"):
        resolve_trial(trial)


def test_ids_hold_the_numbers(timm: Callable[..., list[list[str]]], make_plan: MakePlan, facts: ImageFacts) -> None:
    named, body = {"network": LITE}, {"network": "torchvision:resnet18"}
    plan = plan_arms(
        make_plan,
        named,
        {**named, **normalize(0.5)},
        {**named, **normalize("imagenet")},
        body,
        {**body, **normalize("imagenet")},
    )
    timm({LITE: config()})
    first = list_ids(plan, facts)
    assert first[0] == first[1] != first[2]
    assert first[3] == first[4]
    timm({LITE: config(mean=[0.4] * 3)}, "1.1")
    assert list_ids(plan, facts)[0] not in first
    assert list_ids(plan, facts)[1:] == first[1:]


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        ({"network": LITE}, ["normalize: pretrained is mean 0.5 and sd 0.5"]),
        ({"network": LITE, **normalize("imagenet")}, ["mean 0.5 and sd 0.5, not with the mean and sd of ImageNet"]),
        ({"network": LITE, **normalize("data")}, ["not with the mean and sd of your images"]),
        ({"network": LITE, **normalize(0.4, 0.5)}, ["not with mean 0.4 and sd 0.5"]),
        ({"network": LITE, **normalize([0.5, 0.5, 0.5])}, []),
        ({"network": "torchvision:resnet18", **normalize("imagenet")}, []),
        ({"network": "torchvision:efficientnet_v2_l", **normalize("imagenet")}, ["mean 0.5 and sd 0.5, not with"]),
        ({"network": LITE, "transfer": None, **normalize("imagenet")}, []),
    ],
)
def test_what_the_weights_do_not_know_is_said(
    arm: dict[str, Any], words: list[str], timm: Callable[..., list[list[str]]], make_plan: MakePlan
) -> None:
    timm({LITE: config()})
    found = describe_preparation(plan_arms(make_plan, arm), {})
    assert len(found) == len(words)
    assert all(word in note for word, note in zip(words, found, strict=True))


@pytest.mark.parametrize(("side", "is_said"), [(28, True), (100, True), (128, False), (224, False), (448, True)])
def test_images_of_another_size_are_said(side: int, is_said: bool, make_plan: MakePlan) -> None:
    steps = [{"name": "normalize", "mean": "imagenet", "sd": "imagenet"}]
    plan = plan_arms(make_plan, {"network": "torchvision:resnet18", "augmentation": steps})
    facts = ImageFacts(shape_HWC=(side, side, 3), class_names=("a", "b"), num_images=9)
    found = describe_preparation(plan, {trial.data.source: facts for trial in plan.trials})
    assert [
        f"trained on 224x224 images (bilinear, central crop of 0.875), yours reach it at {side}x{side}" in note
        for note in found
    ] == [True] * is_said


@pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")
def test_timm_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path))
    monkeypatch.setattr(pretrained, "_ANSWERS", {})
    found = pretrained._ask_timm([LITE, "timm:vit_base_patch16_clip_224.openai", "timm:resnet18", "timm:nope"])
    lite, clip, resnet, problem = found.values()
    assert not isinstance(lite, str)
    assert (lite.name_statistics(), lite.size, lite.interpolation, lite.crop_ratio) == (
        ((0.5,), (0.5,)),
        (224, 224),
        "bicubic",
        0.875,
    )
    assert not isinstance(clip, str)
    assert not isinstance(clip.name_statistics()[0], str)
    assert len(clip.name_statistics()[0]) == 3
    assert not isinstance(resnet, str)
    assert resnet.name_statistics() == ("imagenet", "imagenet")
    assert problem == "timm has no configuration nope."
    assert len([*tmp_path.glob("pretrained/*.json")]) == 3


def test_a_candidate_has_its_own_networks_numbers(timm: Callable[..., list[list[str]]], make_plan: MakePlan) -> None:
    timm({LITE: config()})
    asked = plan_arms(make_plan, {"network": "torchvision:resnet18"})
    resolved = replace(asked, trials=tuple(map(resolve_trial, asked.trials)))
    assert keep_names(resolved, asked).trials == asked.trials
    recipe = make_recipe(keep_names(resolved, asked).trials[0].recipe, {"network": LITE})
    (step,) = resolve_normalization(recipe).augmentation
    assert step.model_dump() == {"name": "normalize", "mean": (0.5,), "sd": (0.5,)}


def test_arms_of_one_sentence_are_named_together(make_plan: MakePlan) -> None:
    arm = {"network": "torchvision:efficientnet_v2_l", **normalize("imagenet")}
    (note,) = describe_preparation(plan_arms(make_plan, *({**arm, "epochs": number} for number in range(1, 7))), {})
    assert note.startswith("arm0, arm1, arm2, arm3 and 2 more: the published weights of torchvision:efficientnet_v2_l")


def test_classes_of_imagenet_are_said(make_plan: MakePlan) -> None:
    plan = plan_arms(make_plan, {"network": "torchvision:resnet18"})
    for names, is_said in ((("ants", "bees", "x"), True), (("0", "1"), False)):
        facts = ImageFacts(shape_HWC=(224, 224, 3), class_names=names, num_images=9)
        found = describe_preparation(plan, {trial.data.source: facts for trial in plan.trials})
        assert any("labels of 2 of its 3 classes (ants, bees) in ImageNet" in note for note in found) == is_said
    scratch = plan_arms(make_plan, {"network": "torchvision:resnet18", "transfer": None})
    facts = ImageFacts(shape_HWC=(224, 224, 3), class_names=("ants", "bees"), num_images=9)
    assert describe_preparation(scratch, {trial.data.source: facts for trial in scratch.trials}) == ()
