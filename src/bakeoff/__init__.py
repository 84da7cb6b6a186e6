"""Which of these training choices is really better for classifying these images?

    import bakeoff

    study = bakeoff.Study(question="...", recipe={"network": "cnn"}, arms=[{"optimizer": ["adam", "sgd"]}])
    result = bakeoff.run(study)

Every name is imported when it is first asked for (PEP 562), so that `import bakeoff` takes no time.
"""

TYPE_CHECKING = False  # as typing's, which takes longer to import than all of this
if TYPE_CHECKING:
    from bakeoff.api import (
        Estimate,
        Result,
        RunObserver,
        Status,
        Study,
        list_status,
        load,
        load_study,
        plan,
        run,
        write_report,
    )
    from bakeoff.deploy.predictor import Predictor
    from bakeoff.errors import BakeoffError, DataError, NetworkError, StudyError, WorkspaceError
    from bakeoff.judging import Comparison, Judged, compare, judge

__version__ = "0.1.0"

__all__ = [
    "BakeoffError",
    "Comparison",
    "DataError",
    "Estimate",
    "Judged",
    "NetworkError",
    "Predictor",
    "Result",
    "RunObserver",
    "Status",
    "Study",
    "StudyError",
    "WorkspaceError",
    "__version__",
    "compare",
    "judge",
    "list_status",
    "load",
    "load_study",
    "plan",
    "run",
    "write_report",
]


_ELSEWHERE = {
    "Predictor": "bakeoff.deploy.predictor",
    **dict.fromkeys(("Comparison", "Judged", "compare", "judge"), "bakeoff.judging"),
}

if not TYPE_CHECKING:  # or no misspelled name would be an error

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        home = "bakeoff.errors" if name.endswith("Error") else _ELSEWHERE.get(name, "bakeoff.api")
        globals()[name] = found = getattr(import_module(home), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
