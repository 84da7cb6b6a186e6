from __future__ import annotations

import pickle

import pytest
from pydantic import ValidationError

from bakeoff.data.source import DataSource, as_source, show_text
from bakeoff.errors import DataError


def test_a_bare_name_is_a_registered_dataset() -> None:
    assert as_source("mnist") == DataSource(name="mnist")
    source = DataSource(folder="pets")
    assert as_source(source) is source
    with pytest.raises(DataError, match="empty"):
        as_source("")


def test_is_hashable_and_travels_between_processes() -> None:
    source = DataSource(folder="pets", classes=["cat", "dog"], subset=0.1, image_size=[32, 48], colour="rgb", test=0.3)
    assert pickle.loads(pickle.dumps(source)) == source
    assert len({source, DataSource(**source.model_dump())}) == 1
    assert source.size_HW == (32, 48)
    assert DataSource(folder="pets", image_size=32).size_HW == (32, 32)


def test_class_names_may_be_whole_numbers() -> None:
    assert DataSource(name="mnist", classes=[3, "8"]).classes == ("3", "8")


def test_labels_are_short_and_printable() -> None:
    assert DataSource(folder="/data/pets/").label == "pets"
    assert DataSource(manifest="lists/pe\x1bts.csv").label == "pe\\x1bts.csv"
    assert DataSource(name="mnist").label == "mnist"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "given: none"),
        ({"name": "mnist", "folder": "pets"}, "given: name and folder"),
        ({"folder": ""}, "folder is empty"),
        ({"name": "mnist", "image_size": 32}, "for folders and manifests"),
        ({"name": "mnist", "colour": "rgb"}, "for folders and manifests"),
        ({"name": "mnist", "fit": "pad"}, "for folders and manifests"),
        ({"name": "mnist", "crop_margin": 1.2}, "for folders and manifests"),
        ({"folder": "pets", "crop_margin": 1.2}, "crop_margin needs image_size"),
        ({"folder": "pets", "image_size": 8, "crop_margin": 0.9}, "greater than or equal to 1"),
        ({"folder": "pets", "fit": "squeeze"}, "'crop', 'pad' or 'stretch'"),
        ({"name": "mnist", "test": 0.3}, "its own test split"),
        ({"folder": "pets", "classes": "cat"}, "a list of class names"),
        ({"folder": "pets", "classes": ["cat"]}, "two or more"),
        ({"folder": "pets", "classes": ["cat", "cat"]}, "cat twice"),
        ({"folder": "pets", "classes": ["cat", True]}, "valid string"),
        ({"folder": "pets", "subset": 0.0}, "greater than 0"),
        ({"folder": "pets", "subset": 1.0}, "less than 1"),
        ({"folder": "pets", "subset": float("nan")}, "finite"),
        ({"folder": "pets", "image_size": 0}, "greater than or equal to 1"),
        ({"folder": "pets", "image_size": 1_000_000}, "less than or equal"),
        ({"folder": "pets", "colour": "sepia"}, "'grey' or 'rgb'"),
        ({"folder": "pets", "sise": 3}, "Extra inputs"),
    ],
)
def test_refuses(fields, message) -> None:
    with pytest.raises(ValidationError, match=message):
        DataSource(**fields)


def test_what_cannot_be_printed_is_escaped() -> None:
    assert show_text("a\nb\x1b[31m\udcff\u202e\u2028é猫") == "a\\nb\\x1b[31m\\udcff\\u202e\\u2028é猫"
