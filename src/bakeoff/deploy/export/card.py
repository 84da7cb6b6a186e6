"""The model card of an exported model: README.md, with the metadata that the Hugging Face hub reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bakeoff.catalog.model_record import ModelRecord, Origin
from bakeoff.catalog.networks.outside import TIMM, TORCHVISION, names_class
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.shape import is_body_frozen
from bakeoff.deploy.export.mistakes import MISTAKES_FILE, MistakeSheet
from bakeoff.report.costs import ArmCost, describe_costs
from bakeoff.report.document import ReportInput, Sources
from bakeoff.report.sections.basis import describe_basis
from bakeoff.report.text import count, duration, escape_line, escape_markdown, show_text
from bakeoff.report.winner import Winner
from bakeoff.stats.calibration import NUM_BINS, calibrate
from bakeoff.stats.classes import ClassReport, class_report
from bakeoff.stats.measure import Measure
from bakeoff.stats.metrics import find_metric
from bakeoff.stats.temperature import scale

_LOADING = {
    "torch": "from model import load\n\nnetwork = load()  # uint8 [N, H, W, C] to probabilities",
    "torchscript": 'import torch\n\nnetwork = torch.jit.load("model.torchscript.pt")',
    "torch.export": 'import torch\n\nnetwork = torch.export.load("model.pt2").module()',
    "onnx": 'import onnxruntime\n\nsession = onnxruntime.InferenceSession("model.onnx")\n'
    '(probabilities,) = session.run(None, {"images": images})  # uint8 [N, H, W, C]',
    "timm": 'import timm\nfrom safetensors.torch import load_file\n\nmodel = timm.create_model("%s", num_classes=%d)\n'
    'model.load_state_dict(load_file("timm.safetensors"))  # takes prepared images, returns logits',
    "torchvision": "import torchvision\nfrom safetensors.torch import load_file\n\n"
    "model = torchvision.models.%s(num_classes=%d%s)\n"
    'model.load_state_dict(load_file("torchvision.safetensors"))  # takes prepared images, returns logits',
}

_OUTSIDE = "Photos are read and resized as in `preprocessing.json`, outside the model; all other steps are inside."

_CITATION = """@software{bakeoff,
  title = {bakeoff: which of these training choices is really better for classifying these images?},
  version = {%s}
}"""


@dataclass(frozen=True, kw_only=True)
class TemperatureEffect:
    """What a temperature changed.

    Attributes:
        temperature: what logits are divided by.
        errors: expected calibration error on the images of the origin's split, before and after; None: not measured.
    """

    temperature: float
    errors: tuple[float, float] | None

    def describe(self, split: str) -> str:
        """Say it in a sentence without its end."""
        fitted = f"logits are divided by {self.temperature:.3g}, the temperature fitted on validation images"
        if self.errors is None:
            return f"{fitted} before the model was trained anew; the effect is not measured"
        before, after = (f"{100 * error:.1f}" for error in self.errors)
        same = ", which it was fitted on" if split == "validation" else ""
        return f"{fitted}; on the {split} images{same}, the calibration error is {after} points, without it {before}"


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What a card says of a model.

    Attributes:
        record: the trial's, with its recipe as trained.
        classes: scores by class on the images of `origin.split`; None if the predictions are not stored.
        cost: of the arm; None if not recorded.
        licence: of published weights that it started from; empty if there are none.
        data: name of the images; `notes`: what users should know of them. `audit`: what the audit found.
        mistakes: the worst of the arm, with pictures; None without.
        calibration: what the temperature changed; None without one.
        needed: the library that `model.py` needs besides torch; empty if none.
    """

    report: ReportInput
    winner: Winner
    record: ModelRecord
    origin: Origin
    classes: ClassReport | None
    cost: ArmCost | None
    seconds: float | None
    licence: str
    data: str
    num_training: int | None
    notes: tuple[str, ...]
    audit: str
    mistakes: MistakeSheet | None
    calibration: TemperatureEffect | None
    needed: str = ""

    @classmethod
    def gather(
        cls, report: ReportInput, winner: Winner, record: ModelRecord, origin: Origin, sources: Sources
    ) -> CardFacts:
        """Gather them from a study."""
        from bakeoff.engine.export.licence import find_licence

        source = next(each.data.source for each in sources.plan.blocks if each.label == winner.block)
        predictions = sources.folders.load_predictions(record.trial_id, origin.split)
        classes = None
        if predictions is not None:
            classes = class_report(predictions["probabilities"], predictions["labels"], record.class_names)
        images = sources.record.facts.get(winner.block, {})
        costs = describe_costs(sources.costs, (), sources.folders.weights)
        return cls(
            report=report,
            winner=winner,
            record=record,
            origin=origin,
            classes=classes,
            cost=next((each for each in costs if (each.block, each.arm) == (winner.block, winner.arm)), None),
            seconds=next((each.seconds for each in sources.record.results if each.trial_id == record.trial_id), None),
            licence=find_licence(record.recipe),
            data=source.label,
            num_training=images.get("num_images"),
            notes=tuple(images.get("notes", ())),
            audit=_read_audit(sources, images.get("fingerprint", "")),
            mistakes=MistakeSheet.find(report, winner),
            calibration=None if origin.temperature == 1.0 else _measure_calibration(predictions, origin.temperature),
        )


def _measure_calibration(predictions: Mapping[str, Any] | None, temperature: float) -> TemperatureEffect:
    if predictions is None:
        return TemperatureEffect(temperature=temperature, errors=None)
    probabilities_NL, labels_N = predictions["probabilities"], predictions["labels"]
    before, after = (
        calibrate(each, labels_N).error for each in (probabilities_NL, scale(probabilities_NL, temperature))
    )
    return TemperatureEffect(temperature=temperature, errors=(before, after))


def write_card(facts: CardFacts, checks: Sequence[dict[str, Any]], checked_on: str, rounding: float | None) -> str:
    """Return the card in Markdown.

    Args:
        facts: what it says of the model.
        checks: format, file and difference of every file.
        checked_on: the images of the comparison.
        rounding: the largest difference to predictions in the numeric mode of training; None: that is float32.
    """
    formats = [check["format"] for check in checks]
    sections = {
        "": _write_answer(facts),
        "Scores": _write_scores(facts),
        "Class by class": _write_classes(facts),
        **({} if facts.mistakes is None else {"Worst mistakes": _write_mistakes(facts.mistakes, facts.origin.split)}),
        "Data": _write_data(facts),
        "Use": _write_use(facts, formats),
        "Files and how they were checked": _write_checks(checks, checked_on, rounding),
        "Training": _write_training(facts),
        "How the comparison was made": (f"- {escape_line(line)}" for line in describe_basis(facts.report)),
        "Licence": _write_licence(facts),
        "Citation": ["```bibtex", _CITATION % facts.origin.bakeoff, "```"],
    }
    parts = [_write_metadata(facts, formats), f"# {escape_line(facts.origin.study)}: {escape_line(facts.winner.arm)}"]
    for title, lines in sections.items():
        parts.append("\n".join([*([f"## {title}", ""] if title else []), *lines]))
    return "\n\n".join(parts) + "\n"


def _write_metadata(facts: CardFacts, formats: Sequence[str]) -> str:
    """Return the YAML between dashes; a JSON value is a YAML value."""
    name = facts.record.recipe.network.name
    library = "timm" if "timm" in formats else "onnx" if formats[1:] == ["onnx"] else "pytorch"
    dataset = {"name": show_text(facts.data), "type": show_text(facts.data)}
    fields: dict[str, Any] = {
        "license": facts.licence,
        "library_name": library,
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "bakeoff", *(["onnx"] if "onnx" in formats else [])],
        "metrics": [facts.origin.metric],
        "base_model": f"timm/{name.removeprefix(TIMM)}" if facts.licence and name.startswith(TIMM) else "",
    }
    if facts.origin.score is not None:
        score = {"type": facts.origin.metric, "value": round(facts.origin.score, 6)}
        task = {"type": "image-classification"}
        fields["model-index"] = [
            {
                "name": facts.origin.study,
                "results": [{"task": task, "dataset": {**dataset, "split": facts.origin.split}, "metrics": [score]}],
            }
        ]
    lines = [f"{key}: {json.dumps(value)}" for key, value in fields.items() if value]
    return "\n".join(["---", *lines, "---"])


def _write_answer(facts: CardFacts) -> Iterator[str]:
    yield f"**Question.** {escape_markdown(facts.origin.question)}"
    answer = next((each for each in facts.report.summary.answers if each.block == facts.origin.block), None)
    if answer is not None:
        yield ""
        yield f"**Answer.** {escape_markdown(answer.sentence)}"
    yield ""
    number = 1 if facts.origin.is_refit else len(facts.winner.trial_ids)
    best = "" if number == 1 else f" It is the best of its {number} models on validation."
    yield f"**This model.** {escape_markdown(facts.winner.describe())}{best}"


def _write_scores(facts: CardFacts) -> Iterator[str]:
    origin, metric = facts.origin, find_metric(facts.origin.metric)
    measure = Measure(metric, origin.split)
    interval = ""
    if origin.interval is not None:
        low, high = (measure.value(value, 1) for value in origin.interval)
        interval = f" (95% interval {low} to {high})"
    score = "not measured" if origin.score is None else f"{measure.value(origin.score)}{interval}"
    yield f"- {measure.label}: {score}; {escape_markdown(origin.scope)}"
    scores = [("validation", facts.winner.validation), (origin.split, facts.winner.test)]
    for split, found in scores:
        if found is not None:
            sd = "" if found.sd is None else f" ± {measure.number(found.sd)}"
            yield f"- mean {split} {metric.label} of the arm over replicates: {measure.value(found.mean)}{sd}"
    if facts.calibration is not None:
        yield f"- calibration: {facts.calibration.describe(origin.split)} (expected calibration error, {NUM_BINS} bins)"
    elif facts.classes is not None:
        error = 100 * facts.classes.calibration.error
        yield f"- calibration: its confidence is off by {error:.1f} points on average (expected calibration error)"


def _write_classes(facts: CardFacts) -> Iterator[str]:
    if facts.classes is None:
        yield "There are no stored predictions of this model."
        return
    yield f"| class | {facts.origin.split} images | precision | recall | F1 |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for row in facts.classes.classes:
        numbers = ("" if value is None else f"{value:.3f}" for value in (row.precision, row.recall, row.f1))
        yield f"| {escape_markdown(row.name)} | {row.occurring:,} | {' | '.join(numbers)} |"


def _write_data(facts: CardFacts) -> Iterator[str]:
    height, width, channels = facts.record.shape_HWC
    number = "" if facts.num_training is None else f"{count(facts.num_training, 'training image')} with validation, "
    yield f"- {escape_line(facts.data)}: {number}{count(len(facts.record.class_names), 'class', 'classes')}"
    yield f"- images of {height} x {width} pixels, {'grey' if channels == 1 else 'RGB'}"
    for note in facts.notes:
        yield f"- {escape_line(note)}"
    if facts.audit:
        yield f"- {facts.audit}"


def _write_mistakes(mistakes: MistakeSheet, split: str) -> Iterator[str]:
    yield f"The most frequent confusions of the arm's models on the {split} images, a row each, the surest first:"
    yield ""
    yield f"![The worst mistakes]({MISTAKES_FILE})"
    yield ""
    if mistakes.note:
        yield escape_markdown(mistakes.note)
        yield ""
    for caption in mistakes.captions:
        yield f"- {caption}"


def _read_audit(sources: Sources, fingerprint: str) -> str:
    """Say what the audit of the images found; empty if it is not stored."""
    try:
        stored = json.loads(sources.folders.audit(fingerprint).read_text("utf-8"))
        counts = {str(kind): int(number) for kind, number in stored["counts"].items()}
        num_images = int(stored["num_images"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    found = ", ".join(f"{kind} ({number:,})" for kind, number in counts.items() if number)
    audited = f"{num_images:,} images audited for duplicates, contradictory labels and rare classes"
    return f"{audited}: {found or 'no findings'}"


def _write_use(facts: CardFacts, formats: Sequence[str]) -> Iterator[str]:
    name, num_classes = facts.record.recipe.network.name, len(facts.record.class_names)
    yield "`example.py` classifies photos: `python example.py photo.jpg`. In Python:"
    for each in formats:
        if each not in _LOADING:
            continue
        code = _LOADING[each]
        if each == "timm":
            code %= (name.removeprefix(TIMM), num_classes)
        elif each == "torchvision":
            extra = ", aux_logits=False" if "inception" in name or "googlenet" in name else ""
            code %= (name.removeprefix(TORCHVISION), num_classes, extra)
        yield from ["", "```python", code, "```"]
    yield from ["", "```python", "import bakeoff", ""]
    yield 'bakeoff.Predictor.load(".").predict(["photo.jpg"])'
    yield from ["```", "", _OUTSIDE]
    library = next((prefix.removesuffix(":") for prefix in (TIMM, TORCHVISION) if name.startswith(prefix)), "")
    if "torch" in formats and library:
        yield ""
        yield _describe_needs(library, facts.needed)
    if names_class(name):
        yield f"The network is {escape_markdown(name)}: its module must be on Python's path, except for ONNX."


def _describe_needs(library: str, needed: str) -> str:
    if needed:
        return f"`model.py` needs {needed}, torch and safetensors; the format torchscript needs torch alone."
    return (
        f"`model.py` needs torch and safetensors, and only predicts; `load(trainable=True)` returns a network that can "
        f"be trained further, and needs {library}."
    )


def _write_checks(checks: Sequence[dict[str, Any]], checked_on: str, rounding: float | None) -> Iterator[str]:
    yield f"Largest difference of a probability to the trial's own predictions in float32, on {checked_on}:"
    yield from ["", "| file | format | difference |", "| --- | --- | ---: |"]
    for check in checks:
        yield f"| {check['file']} | {check['format']} | {check['difference']:.1e} |"
    if rounding is not None:
        yield ""
        yield f"It was trained and tested in bfloat16, whose predictions differ from these by up to {rounding:.1e}."


def _write_training(facts: CardFacts) -> Iterator[str]:
    record = facts.record
    yield f"- network: {escape_markdown(record.recipe.network.name)}, {_describe_start(record.recipe)}"
    if facts.cost is not None and facts.cost.num_parameters is not None:
        yield f"- trained parameters: {facts.cost.num_parameters:,.0f}"
    if facts.seconds is not None:
        hardware = escape_markdown(", ".join(facts.report.hardware.values()))
        yield f"- training time: {duration(facts.seconds)} on {hardware}"
    yield f"- study {escape_markdown(facts.origin.study_id)}, trial {record.trial_id}, seed {record.seed}"
    versions = {**facts.report.versions, **record.versions, "numeric mode": record.numeric}
    yield f"- {escape_markdown(', '.join(f'{name} {text}' for name, text in versions.items()))}"
    yield from ["", "<details><summary>Recipe</summary>", "", "```json"]
    yield json.dumps(record.recipe.model_dump(mode="json"), indent=2).replace("```", "'''")
    yield from ["```", "", "</details>"]


def _describe_start(recipe: Recipe) -> str:
    if recipe.transfer is None or recipe.transfer.weights is None:
        return "from random weights"
    published = recipe.transfer.weights == "imagenet"
    weights = "its published ImageNet weights" if published else "the weights of an earlier training"
    return f"{'its body unchanged' if is_body_frozen(recipe) else 'fine-tuned'} from {weights}"


def _write_licence(facts: CardFacts) -> Iterator[str]:
    if facts.licence:
        yield (
            f"It starts from published weights of {escape_markdown(facts.record.recipe.network.name)} "
            f"(licence: {escape_markdown(facts.licence)}); the terms of the images also apply."
        )
    else:
        yield "Trained without published weights: its owner chooses the licence; the terms of the images apply."
