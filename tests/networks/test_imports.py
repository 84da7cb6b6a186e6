from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module", ["choices", "classic", "deep", "fusion", "initializers", "layers", "named", "shapes"]
)
def test_a_module_without_torch_stays_without_it(module: str) -> None:
    """Nor does it wait for SciPy or scikit-learn: `bakeoff --help` and `plan` import these modules."""
    check = f"import sys, bakeoff.networks.{module}; print({{'torch', 'scipy', 'sklearn'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
