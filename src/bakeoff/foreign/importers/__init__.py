"""The importers of other tools' results, by name."""

from __future__ import annotations

from bakeoff.errors import DataError
from bakeoff.foreign.csv_table import CSV
from bakeoff.foreign.table import ForeignTable, Importer
from bakeoff.registry import Registry

IMPORTERS: Registry[Importer] = Registry("importer", [CSV], "bakeoff.importers")


def read_foreign(source: str, tool: str | None = None, epoch: str = "last") -> ForeignTable:
    """Read the results of a tool; None recognises it.

    Raises:
        DataError: no importer recognises the source, or it cannot be read.
    """
    if tool is not None:
        return IMPORTERS.find(tool, DataError).read(source, epoch)
    for importer in IMPORTERS:
        if importer.recognises(source):
            return importer.read(source, epoch)
    raise DataError(f"{source}: no results that are known. Known: {', '.join(IMPORTERS.names)}; say which by --from.")
