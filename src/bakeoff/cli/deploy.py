"""Commands that put a study's winner to work: predict, export."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bakeoff.cli.complete import complete_arm, complete_block, complete_trained
from bakeoff.cli.options import AsJson, DataDir, Workspace, print_aside, print_error, print_line
from bakeoff.errors import UnreadableImagesError

if TYPE_CHECKING:
    from bakeoff.deploy.photos import Unreadable
    from bakeoff.deploy.predictor import Prediction

app = typer.Typer()

TrainedStudy = Annotated[
    str,
    typer.Argument(
        metavar="STUDY", help="The name, id or file of a study that was run.", autocompletion=complete_trained
    ),
]
StudyOrModel = Annotated[
    str,
    typer.Argument(
        metavar="STUDY|MODEL",
        help="A study that was run, an exported folder, or a weights file.",
        autocompletion=complete_trained,
    ),
]
Arm = Annotated[
    str | None,
    typer.Option("--arm", metavar="NAME", help="The arm to use; by default the winner.", autocompletion=complete_arm),
]
Block = Annotated[
    str | None,
    typer.Option("--block", metavar="NAME", help="The block, if the study has several.", autocompletion=complete_block),
]
Ensemble = Annotated[
    str | None,
    typer.Option(
        "--ensemble",
        metavar="NAME|replicates",
        help="Let an ensemble of the study, or all replicates of the arm, vote; by default its best model alone.",
    ),
]
Prefer = Annotated[
    Literal["score", "cheaper"],
    typer.Option("--prefer", help="Among arms that tie: the best score on validation, or the least training time."),
]
Calibrate = Annotated[
    bool,
    typer.Option("--calibrate", help="Make probabilities fit frequencies, by a temperature fitted on validation."),
]


@app.command()
def predict(
    study: StudyOrModel,
    photos: Annotated[
        list[str], typer.Argument(metavar="PHOTO|FOLDER|TABLE...", help="Images, folders, tables with a column path.")
    ],
    arm: Arm = None,
    block: Block = None,
    ensemble: Ensemble = None,
    prefer: Prefer = "score",
    calibrate: Calibrate = False,
    top: Annotated[int, typer.Option("--top", min=1, help="Classes shown per image.")] = 3,
    explain: Annotated[
        Path | None,
        typer.Option(
            "--explain", metavar="DIR", help="Write each image there with a heat map of what speaks for its class."
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a table to standard output and nothing else.")] = False,
    as_json: AsJson = False,
    workspace: Workspace = Path("runs"),
    data_dir: DataDir = None,
) -> int:
    """Classify photos with a study's winner; exit status 1 if a file cannot be read."""
    from bakeoff.deploy.heat_maps import HeatMapFolder
    from bakeoff.deploy.photos import Unreadable
    from bakeoff.deploy.predictor import Predictor

    predictor = Predictor.load(
        study,
        workspace,
        arm=arm,
        block=block,
        ensemble=ensemble,
        prefer=prefer,
        calibrate=calibrate,
        data_dir=data_dir,
    )
    print_aside(predictor.describe())
    pictures = None if explain is None or not predictor.can_explain else HeatMapFolder(explain)
    if explain is not None and pictures is None:
        print_aside(f"Note: no pictures in {explain}: {predictor.describe_unexplained()}.")
    shown = _Table(min(top, len(predictor.classes_)), has_pictures=pictures is not None) if as_csv else None
    rows: list[dict[str, Any]] = []
    num_unreadable = 0
    for each in predictor.predict_files(photos, top, explain=pictures is not None):
        picture = None
        if isinstance(each, Unreadable):
            num_unreadable += 1
            print_error(UnreadableImagesError(f"{each.path}: {each.reason}"))
        elif pictures is not None and each.heat_map is not None:
            picture = pictures.write(each.path, each.heat_map)
        if as_json:
            rows.append(_dump(each, picture))
        elif shown is not None:
            shown.write(each, picture)
        elif not isinstance(each, Unreadable):
            _print(each)
    if as_json:
        print(json.dumps({"arm": predictor.arm, "images": rows}, indent=2))
    if pictures is not None:
        print_aside(f"Pictures with heat maps: {explain}")
    return 1 if num_unreadable else 0


@app.command()
def export(
    study: TrainedStudy,
    formats: Annotated[
        list[str],
        typer.Option(
            "--format",
            metavar="torch|torchscript|torch.export|onnx|timm|torchvision",
            help="What to write besides the weights; repeatable.",
        ),
    ],
    arm: Arm = None,
    block: Block = None,
    prefer: Prefer = "score",
    refit: Annotated[
        bool, typer.Option("--refit", help="Train the recipe anew on training and validation images together.")
    ] = False,
    calibrate: Calibrate = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The folder; by default exports/STUDY.")
    ] = None,
    workspace: Workspace = Path("runs"),
    data_dir: DataDir = None,
) -> int:
    """Write a study's winner into a folder: weights, other formats, and a model card."""
    from bakeoff.deploy.export.export import export_study

    done = export_study(
        study,
        formats,
        out,
        workspace,
        arm=arm,
        block=block,
        prefer=prefer,
        data_dir=data_dir,
        on_all_images=refit,
        calibrate=calibrate,
    )
    print_aside(done.winner.describe())
    print_line(f"Largest difference of a probability to the trial's predictions, on {done.checked_on}:")
    for check in done.checks:
        print_line(f"  {check.file} ({check.format}): {check.difference:.1e}")
    if done.rounding is not None:
        print_line(f"  It was trained in bfloat16, whose predictions differ from these by up to {done.rounding:.1e}.")
    if done.calibration is not None:
        print_line(f"Calibrated: {done.calibration.describe(done.origin.split)}.")
    if done.origin.is_refit:
        print_line(f"Note: {done.origin.scope}.")
    if done.needed:
        print_line(f"Note: model.py needs {done.needed} installed; the format torchscript needs torch alone.")
    print_line(f"Exported to {done.folder}")
    return 0


class _Table:
    """A CSV of predictions on standard output: files that cannot be read are rows with a reason in `error`."""

    def __init__(self, num_classes: int, *, has_pictures: bool) -> None:
        self._num_classes, self._has_pictures = num_classes, has_pictures
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        pairs = [name for number in range(1, num_classes + 1) for name in (f"class_{number}", f"probability_{number}")]
        self._writer.writerow(["path", *pairs, *(["heat_map"] if has_pictures else []), "error"])

    def write(self, found: Prediction | Unreadable, picture: Path | None) -> None:
        """Write the row of a file."""
        dumped = _dump(found, picture)
        values = [value for each in dumped["classes"] for value in (each["name"], f"{each['probability']:.6g}")]
        values += [""] * (2 * self._num_classes - len(values))
        pictures = [dumped.get("heat_map", "")] if self._has_pictures else []
        self._writer.writerow([dumped["path"], *values, *pictures, dumped["error"]])


def _print(prediction: Prediction) -> None:
    pairs = zip(prediction.classes, prediction.probabilities, strict=True)
    print_line(f"{prediction.path}: {', '.join(f'{name} {_format(share)}' for name, share in pairs)}")


def _format(share: float) -> str:
    return "> 99.9%" if share > 0.999 else f"{share:.1%}"


def _dump(found: Prediction | Unreadable, picture: Path | None) -> dict[str, Any]:
    """Return what is known of a file as plain values; `error` is null if it could be read."""
    from bakeoff.deploy.photos import Unreadable

    if isinstance(found, Unreadable):
        return {"path": found.path, "classes": [], "error": found.reason}
    pairs = zip(found.classes, found.probabilities, strict=True)
    classes = [{"name": name, "probability": share} for name, share in pairs]
    pictures = {} if picture is None else {"heat_map": str(picture)}
    return {"path": found.path, "classes": classes, **pictures, "error": None}
