"""How often does bakeoff find a winner if there is none? Measured on real training runs.

    python benchmarks/aa.py --times 20

Runs the shipped study `aa` (four arms with the same recipe) with different seeds, and counts the studies in which any
pair of arms is called better or worse. At 95% confidence each study errs with probability 5%: four or more of twenty
have a probability of 1.6%. The table and every study's verdicts go to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import describe_machine, name_machine

from bakeoff.api import run

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Run, print, save; exit status 1 if more than three in twenty studies err."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="studies (default %(default)s)")
    parser.add_argument("--set", dest="overrides", action="append", default=[], help="change a field of the study")
    parser.add_argument("--output", type=Path, help="the JSON file (default: benchmarks/results/aa-MACHINE.json)")
    options = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as workspace:
        studies = [run_once(seed, options.overrides, workspace) for seed in range(1, options.times + 1)]
    false_winners = sum(study["false"] > 0 for study in studies)
    result = {
        "machine": describe_machine(),
        "overrides": options.overrides,
        "studies": studies,
        "false_winners": false_winners,
        "seconds": time.perf_counter() - started,
    }
    path = options.output or HERE / "results" / f"aa-{name_machine()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(
        f"{false_winners} of {len(studies)} studies of identical arms have a winner; {result['seconds']:.0f} s; {path}"
    )
    return 0 if false_winners <= 3 * len(studies) / 20 else 1


def run_once(seed: int, overrides: list[str], workspace: str) -> dict[str, Any]:
    """Run one study; return its arms' means and the verdicts that are wrong."""
    document = run("aa", overrides=[f"seed={seed}", *overrides], workspace=workspace).document
    wrong = [v for v in document["verdicts"] if v["verdict"] in ("better", "worse")]
    means = {arm["arm"]: arm["test"]["accuracy"]["mean"] for arm in document["arms"]}
    print(
        f"seed {seed}: {', '.join(f'{arm} {mean:.4f}' for arm, mean in means.items())}; {len(wrong)} false", flush=True
    )
    smallest = min(v["p_adjusted"] for v in document["verdicts"] if v["p_adjusted"] is not None)
    return {"seed": seed, "means": means, "false": len(wrong), "smallest_adjusted_p": smallest}


if __name__ == "__main__":
    raise SystemExit(main())
