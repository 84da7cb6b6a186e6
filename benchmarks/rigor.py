"""Are verdicts right as often as they claim? Simulated studies with a known truth, judged by the code for real ones.

    python benchmarks/rigor.py --studies 2000

Runs the tables of the modules below, or those named after `--only`. Draws are seeded, so the figures are the same on
any machine. Tables go to benchmarks/results/rigor.json, where every row has its number of studies; tables that are not
run remain unchanged there.

    python benchmarks/rigor.py --show    prints all tables of the file in Markdown, and measures nothing
    python benchmarks/rigor.py --fill    writes them into the pages of docs/
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import rigor_effects
import rigor_failures
import rigor_folds
import rigor_groups
import rigor_looks
import rigor_moderated
import rigor_one_step
import rigor_pairs
import rigor_power
import rigor_racing
import rigor_scope
import rigor_screening
import rigor_tables
import rigor_unpaired
import scipy

RESULTS = Path(__file__).resolve().parent / "results" / "rigor.json"


MODULES = (
    rigor_pairs,
    rigor_scope,
    rigor_effects,
    rigor_looks,
    rigor_folds,
    rigor_failures,
    rigor_racing,
    rigor_moderated,
    rigor_one_step,
    rigor_groups,
    rigor_screening,
    rigor_power,
    rigor_unpaired,
)
TABLES = {name: measure for module in MODULES for name, measure in module.TABLES.items()}


def main() -> None:
    """Measure, print, save; or show what is saved."""
    if sys.argv[1:] == ["--show"]:
        print(rigor_tables.show_tables(), end="")
    elif sys.argv[1:] == ["--fill"]:
        rigor_tables.fill_pages()
    else:
        save(rigor_pairs.run_tables(__doc__ or "", TABLES))


def save(found: dict[str, list[rigor_pairs.Row]]) -> None:
    """Put tables into the file, and take out those that no module measures any more."""
    saved = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    saved.update(found)
    saved = {name: saved[name] for name in TABLES if name in saved}
    saved["versions"] = {"python": sys.version.split()[0], "numpy": np.__version__, "scipy": scipy.__version__}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(saved, indent=1) + "\n")


if __name__ == "__main__":
    main()
