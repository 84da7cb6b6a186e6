from __future__ import annotations

import subprocess
import sys

MODULES = (
    "choices",
    "initializers",
    "networks.classic",
    "networks.deep",
    "networks.fusion",
    "networks.layers",
    "networks.named",
    "networks.shapes",
)


def test_modules_without_torch_stay_without_it() -> None:
    """Nor do they wait for SciPy or scikit-learn: `bakeoff --help` and `plan` import these modules."""
    names = ", ".join(f"bakeoff.catalog.{module}" for module in MODULES)
    check = f"import sys, {names}; print({{'torch', 'scipy', 'sklearn'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
