"""An importer: reads results of another tool, here lines such as `adam 3 0.91` in a file that ends in .scores."""

from collections.abc import Mapping
from pathlib import Path

from bakeoff.errors import DataError
from bakeoff.foreign.table import ForeignTable, Importer, Value


def _recognises(source: str) -> bool:
    return source.endswith(".scores")


def _read(source: str, epoch: str) -> ForeignTable:
    rows: list[Mapping[str, Value]] = []
    for number, line in enumerate(Path(source).read_text(encoding="utf-8").splitlines(), start=1):
        try:
            arm, seed, accuracy = line.split()
            rows.append({"arm": arm, "seed": int(seed), "accuracy": float(accuracy)})
        except ValueError as error:
            raise DataError(f"{source}:{number}: write ARM SEED ACCURACY, such as 'adam 3 0.91'.") from error
    return ForeignTable(tool="lines of scores", source=source, rows=tuple(rows), metrics=("accuracy",))


SCORE_LINES = Importer("score_lines", "lines of arm, seed and accuracy in a .scores file", _recognises, _read)
