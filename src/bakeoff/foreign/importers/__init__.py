"""Importers of other tools' results, and which of them reads a source.

Another package adds one by an entry point in the group `bakeoff.importers`. No tool has to be installed to read its
files, except a tracking server's client.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from bakeoff.data.source import show_text
from bakeoff.errors import ResultsNotFoundError, UnknownToolError
from bakeoff.foreign.csv_table import CSV
from bakeoff.foreign.importers import (
    benchopt,
    keras,
    lightning,
    ludwig,
    mlflow,
    optuna,
    sklearn,
    tensorboard,
    timm,
    trackio,
    wandb,
)
from bakeoff.foreign.reading import find_files, hide_password
from bakeoff.foreign.table import ForeignTable, Importer
from bakeoff.registry import Registry

IMPORTERS: Registry[Importer] = Registry(
    "importer",
    (
        mlflow.IMPORTER,
        wandb.IMPORTER,
        trackio.IMPORTER,
        tensorboard.IMPORTER,
        keras.IMPORTER,
        lightning.IMPORTER,
        timm.IMPORTER,
        sklearn.IMPORTER,
        optuna.IMPORTER,
        benchopt.IMPORTER,
        ludwig.IMPORTER,
        CSV,
    ),
    "bakeoff.importers",
)

_ANY_TABLE = CSV.name
"""Reads any table, so it counts only if nothing more special recognises one."""

_HOLDERS = ("mlflow", "ludwig")
"""Keep logs of other tools beside their own results: artifacts, event files."""

_PICKLES = {".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth", ".ckpt"}
_SQLITE = "sqlite:///"


def read_foreign(source: str, tool: str | None = None, epoch: str = "last") -> ForeignTable:
    """Return the results of another tool as a table.

    Args:
        source: a file, a folder or an address.
        tool: the name of an importer; None: it is recognised.
        epoch: the epoch that counts: "last", or of curves "max:METRIC" or "min:METRIC".

    Raises:
        DataError: nothing is there, it is a pickle, no importer or several recognise it, or it cannot be read.
    """
    source = source.removeprefix(_SQLITE)
    if not urlsplit(source).netloc:
        _check_source(source)
    importer = IMPORTERS.find(tool, UnknownToolError) if tool else _recognise(source)
    return importer.read(source, epoch)


def _check_source(source: str) -> None:
    path = Path(source)
    try:
        is_there = path.exists()
    except (OSError, ValueError):
        is_there = False
    if not is_there:
        raise ResultsNotFoundError(f"{show_text(source)} does not exist.")
    if path.suffix.lower() in _PICKLES:
        raise ResultsNotFoundError(
            f"{show_text(source)} is a pickle, which can run any code when it is opened: bakeoff opens none. "
            "Save the results as CSV or JSON, such as pandas.DataFrame(results).to_csv('results.csv')."
        )


def _recognise(source: str) -> Importer:
    found = [importer for importer in IMPORTERS if importer.recognises(source)]
    names = [importer.name for importer in found]
    holders = [importer for importer in found if importer.name in _HOLDERS]
    if len(holders) == 1 and not urlsplit(source).netloc:
        return holders[0]
    if len(found) > 1 and _ANY_TABLE in names:
        found = [importer for importer in found if importer.name != _ANY_TABLE]
    if len(found) == 1:
        return found[0]
    if found:
        options = " or ".join(f"--from {importer.name}" for importer in found)
        raise ResultsNotFoundError(f"{hide_password(source)} holds results of several tools. Choose with {options}.")
    known = "; ".join(f"{importer.name} ({importer.summary})" for importer in IMPORTERS)
    raise ResultsNotFoundError(
        f"{hide_password(source)} holds no results that are known{_explain_pickles(source)}. Known are: {known}."
    )


def _explain_pickles(source: str) -> str:
    pickle = next(find_files(source, lambda path: path.suffix.lower() in {".pkl", ".pickle", ".joblib"}), None)
    return f"; pickles such as {show_text(pickle.path.name)} are never opened" if pickle else ""
