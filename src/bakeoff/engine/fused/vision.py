"""Imports torchvision and timm, also with a build of torch that torchvision was not compiled for."""

from __future__ import annotations

import importlib
import re
import sys
from types import ModuleType

import torch

from bakeoff.errors import BakeoffError, MissingPackageError
from bakeoff.extras import how_to_install

_MISSING_OPERATOR = re.compile(r"operator torchvision::(\w+) does not exist")

_MAX_DEFINED = 32
"""More operators than torchvision has; if more are missing, something else is wrong."""

_libraries: list[torch.library.Library] = []
"""The defined operators, kept alive because an operator vanishes with its library object."""


def import_torchvision() -> ModuleType:
    """Import torchvision.

    PyPI's torchvision is compiled against PyPI's CUDA build of torch. With a CPU build its extension does not load, so
    its detection operators (`nms`, `roi_align`, ...) are missing, and registering their shapes fails: `operator
    torchvision::nms does not exist`. Networks and transforms do not need them. So on exactly this error the missing
    operator is declared, without an implementation, and the import is retried. Calling the operator still fails.

    Raises:
        BakeoffError: torchvision is not installed, or cannot be imported for another reason.
    """
    for _ in range(_MAX_DEFINED):
        try:
            return importlib.import_module("torchvision")
        except ModuleNotFoundError as error:
            if error.name != "torchvision":
                raise _refuse("torchvision", error) from error
            raise MissingPackageError(
                "torchvision is not installed: pip install torchvision, from the same index as torch."
            ) from error
        except (ImportError, RuntimeError) as error:
            missing = _MISSING_OPERATOR.search(str(error))
            if missing is None:
                raise _refuse("torchvision", error) from error
            _forget("torchvision")
            _declare(missing.group(1))
    raise _refuse("torchvision", f"more than {_MAX_DEFINED} operators are missing")


def import_timm() -> ModuleType:
    """Import timm, torchvision first.

    Raises:
        BakeoffError: one of them is not installed, or cannot be imported.
    """
    import_torchvision()
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise _refuse("timm", error) from error
        raise MissingPackageError(f"timm is not installed: {how_to_install('timm')}") from error
    except (ImportError, RuntimeError) as error:
        raise _refuse("timm", error) from error


def _declare(operator: str) -> None:
    """Declare a torchvision operator, so that shapes and gradients can be registered for it."""
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]  # torch leaves it untyped
    library.define(f"{operator}(Tensor input) -> Tensor")  # type: ignore[no-untyped-call]  # as above
    _libraries.append(library)


def _forget(package: str) -> None:
    """Remove a partially imported package, so that the next import starts afresh."""
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]


def _refuse(package: str, reason: object) -> BakeoffError:
    line = " ".join(str(reason).split())[:300]
    return MissingPackageError(
        f"{package} is installed but cannot be imported: {line}. Install a release made for torch {torch.__version__}."
    )
