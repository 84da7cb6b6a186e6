from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from bakeoff.catalog.mixing import MIXES, CutMix, MixChoice, MixRecord, Mixup

CHOICE: TypeAdapter[object] = TypeAdapter(MixChoice)


@pytest.mark.parametrize("record", MIXES, ids=MIXES.names)
def test_registry_has_a_line_and_a_source(record: MixRecord) -> None:
    assert record.settings().name == record.name
    assert record.summary
    assert "\n" not in record.summary
    assert record.source
    assert CHOICE.validate_python(record.name) == record.settings()


def test_defaults_are_the_published_ones() -> None:
    assert (Mixup().alpha, CutMix().alpha) == (0.2, 1.0)


def test_unknown_name_lists_names_and_the_nearest() -> None:
    with pytest.raises(ValidationError, match=r"'cutmixx'.* mixup, cutmix\..*'cutmix'"):
        CHOICE.validate_python({"name": "cutmixx"})


@pytest.mark.parametrize(
    "settings",
    [
        {"alpha": 0.2},
        {"name": "mixup", "alpha": 0},
        {"name": "mixup", "alpha": float("nan")},
        {"name": "mixup", "alpha": True},
        {"name": "cutmix", "probability": 1.01},
        {"name": "cutmix", "probability": -0.1},
        {"name": "cutmix", "size": 3},
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CHOICE.validate_python(settings)
