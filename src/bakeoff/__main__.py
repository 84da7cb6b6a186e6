"""`python -m bakeoff` is the `bakeoff` command."""

from __future__ import annotations

import sys

from bakeoff.cli import main

if __name__ == "__main__":
    sys.exit(main())
