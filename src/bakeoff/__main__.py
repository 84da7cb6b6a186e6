"""`python -m bakeoff` is the `bakeoff` command."""

from __future__ import annotations

import sys

from bakeoff.driver.interrupts import end_at_once


def run() -> int:
    """Run the command line as this process, which ends after it; return the exit status."""
    end_at_once()  # without a traceback of imports
    from bakeoff.cli import main

    try:
        return main()
    finally:
        end_at_once()


if __name__ == "__main__":
    sys.exit(run())
