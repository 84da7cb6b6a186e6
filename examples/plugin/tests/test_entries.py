"""Every entry of this package keeps the contract of its kind. Install the package first."""

import pytest

from bakeoff.testing import find_checks

CHECKS = find_checks("bakeoff-example-plugin")


@pytest.mark.parametrize("entry", CHECKS)
def test_entry_keeps_its_contract(entry):
    CHECKS[entry]()
