"""The source of images: a registered dataset, an image folder, or a manifest; all of it or a part."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from bakeoff.errors import ImagesNotFoundError, UnknownDatasetError

DuplicatesPolicy: TypeAlias = Literal["group", "drop", "allow"]
"""What is done about duplicates: keep them on one side of every split, use one of each, or nothing."""

Colour: TypeAlias = Literal["grey", "rgb"]
"""One channel or three."""

PARENT = "parent"
"""The setting of `group` by which images are grouped by the folder that holds them."""

ORIGINS = ("name", "folder", "manifest")
"""The fields of which exactly one names the source of images."""

HUB = "hf:"
TORCHVISION = "torchvision:"
"""How names of datasets from elsewhere begin: of the Hugging Face hub, and of torchvision."""


def _format_class_names(value: object) -> object:
    """Accept integers as class names: `classes: [0, 1, A]` in YAML contains two."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise PydanticCustomError("classes", "classes must be a list of class names, such as [cat, dog]")
    return tuple(str(item) if type(item) is int else item for item in value)


def _check_class_names(names: tuple[str, ...]) -> tuple[str, ...]:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise PydanticCustomError("classes", "classes names {names} twice", {"names": show_text(repeated[0])})
    if len(names) < 2:
        raise PydanticCustomError("classes", "classes needs two or more class names")
    return names


ClassNames: TypeAlias = Annotated[
    tuple[Annotated[str, Field(strict=True)], ...],
    BeforeValidator(_format_class_names),
    AfterValidator(_check_class_names),
]
"""Two or more different class names."""

Subset: TypeAlias = Annotated[float, Field(strict=True, gt=0, lt=1, allow_inf_nan=False)]
"""A fraction of the training images, between 0 and 1 exclusive."""

Side: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=4_096)]
"""A side of an image in pixels."""

ImageSize: TypeAlias = Side | tuple[Side, Side]
"""The side of a square, or height and width, in pixels."""

Fit: TypeAlias = Literal["crop", "pad", "stretch"]
"""How an image of another aspect ratio is brought to a size: its middle, all of it on black, or distorted."""

CropMargin: TypeAlias = Annotated[float, Field(strict=True, ge=1, le=4, allow_inf_nan=False)]
"""The factor by which images are stored larger than the size that reaches a network."""

TestShare: TypeAlias = Annotated[float, Field(strict=True, gt=0, lt=1, allow_inf_nan=False)]
"""The fraction of images set aside as the test split if the source has none."""


class DataSource(BaseModel):
    """Images to open: exactly one of `name`, `folder` and `manifest`, and which of them to use.

    Attributes:
        name: a registered dataset, or one from elsewhere: `hf:OWNER/NAME` or `torchvision:NAME`.
        folder: a folder of class folders, or of train, validation and test folders that hold them; or a zip or tar
            archive of such a folder.
        manifest: a CSV or Parquet file of paths and labels.
        classes: the classes to use, relabelled in this order; None: all, in the source's order.
        subset: fraction of the training images to use, stratified; None: all. The test split stays whole.
        image_size: the size that reaches the networks, a side or (height, width) in pixels, to which all images are
            resized; None: no resizing.
        fit: how images of another aspect ratio are brought to a size: crop the middle, pad with black, or stretch.
        crop_margin: factor by which they are stored larger than that, for augmentations that crop.
        colour: one channel or three; None: grayscale if every image is. Folders and manifests only.
        test: fraction of the images set aside if a folder or manifest has no test split.
        group: what names an image's group in a folder: a regular expression, searched in its path relative to the
            folder (the first group of it, else the whole match), or `PARENT`. None: the images of a folder stand
            alone, and those of a manifest are grouped by its column group, if it has one.
        duplicates: what is done about images that the audit finds several times. None: `group` for folders and
            manifests, nothing for registered datasets, whose published splits stay as they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = None
    folder: str | None = None
    manifest: str | None = None
    classes: ClassNames | None = None
    subset: Subset | None = None
    image_size: ImageSize | None = None
    fit: Fit = "crop"
    crop_margin: CropMargin = 1.0
    colour: Colour | None = None
    test: TestShare = 0.2
    group: str | None = None
    duplicates: DuplicatesPolicy | None = None

    @model_validator(mode="after")
    def _check_origin(self) -> DataSource:
        given = [field for field in ORIGINS if getattr(self, field) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none"
            raise PydanticCustomError(
                "data_source", "give one of name, folder or manifest; given: {found}", {"found": found}
            )
        if getattr(self, given[0]) == "":
            raise PydanticCustomError("data_source", "{found} is empty", {"found": given[0]})
        is_changed = self.image_size is not None or self.colour is not None or self.fit != "crop"
        is_changed = is_changed or self.crop_margin != 1
        if self.registered is not None and is_changed:
            raise PydanticCustomError(
                "data_source",
                "image_size, fit, crop_margin and colour are for folders and manifests; use the augmentation resize "
                "on {name}",
                {"name": show_text(self.name)},
            )
        if self.crop_margin != 1 and self.image_size is None:
            raise PydanticCustomError("data_source", "crop_margin needs image_size, the size that is cropped to")
        if self.registered is not None and self.test != DataSource.model_fields["test"].default:
            raise PydanticCustomError(
                "data_source",
                "{name} has its own test split; test is for folders and manifests",
                {"name": show_text(self.name)},
            )
        if self.group is not None:
            self._check_group(self.group)
        return self

    def _check_group(self, group: str) -> None:
        if self.folder is None:
            given = "a manifest names groups in its column group" if self.name is None else "a dataset has no groups"
            raise PydanticCustomError("data_source", "group is for folders; {given}", {"given": given})
        try:
            can_match_nothing = group != PARENT and re.compile(group).search("") is not None
        except re.error as error:
            reason = {"group": show_text(group), "error": str(error), "parent": PARENT}
            message = "group is neither {parent} nor a regular expression: {group} ({error})"
            raise PydanticCustomError("data_source", message, reason) from None
        if can_match_nothing:
            message = "group matches the empty text, so it names no group: {group}"
            raise PydanticCustomError("data_source", message, {"group": show_text(group)})

    @property
    def policy(self) -> DuplicatesPolicy:
        """What is done about duplicates."""
        return self.duplicates or ("allow" if self.registered is not None else "group")

    @property
    def registered(self) -> str | None:
        """The name of a registered dataset; None for any other source."""
        return None if self.name is None or self.name.startswith((HUB, TORCHVISION)) else self.name

    @property
    def path(self) -> str | None:
        """The folder, the manifest or the name of a dataset from elsewhere, as given; None for a registered dataset."""
        if self.name is not None:
            return None if self.registered is not None else self.name
        return self.folder if self.folder is not None else self.manifest

    @property
    def kind(self) -> str:
        """What the source is: dataset, folder or manifest."""
        return next(field if field != "name" else "dataset" for field in ORIGINS if getattr(self, field) is not None)

    @property
    def label(self) -> str:
        """A short display name: of the dataset, folder or manifest, with control characters escaped."""
        if self.name is not None:
            return show_text(self.name)
        given = self.path or ""
        return show_text(PurePath(given).name or given)

    @property
    def image_HW(self) -> tuple[int, int] | None:
        """Height and width that reach the networks; None: as the images are."""
        if isinstance(self.image_size, int):
            return (self.image_size, self.image_size)
        return self.image_size

    @property
    def size_HW(self) -> tuple[int, int] | None:
        """Height and width that images are resized to and stored at; None: no resizing."""
        if self.image_HW is None:
            return None
        height, width = self.image_HW
        return (round(height * self.crop_margin), round(width * self.crop_margin))


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    """What is known about a source without decoding it.

    Attributes:
        shape_HWC: height, width and channels of one image.
        num_classes: 2 or more.
        class_names: one name per label.
        num_train: images in the training split, after `classes` and `subset`.
        num_groups: groups that no split separates; 0 if every image stands alone.
    """

    shape_HWC: tuple[int, int, int]
    num_classes: int
    class_names: tuple[str, ...]
    num_train: int
    num_groups: int = 0


def as_source(source: DataSource | str) -> DataSource:
    """Return the source; a bare string is a registered dataset's name.

    Raises:
        DataError: an empty name.
    """
    if isinstance(source, DataSource):
        return source
    if not source:
        raise UnknownDatasetError("A dataset's name is empty.")
    return DataSource(name=source)


def find_kind(path: str | Path) -> Literal["file", "folder", "other", "nothing"]:
    """Return what a path leads to; `nothing` also if it is not a valid path: too long, or with a null character.

    Opening what is neither a file nor a folder, such as a named pipe, may block forever.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return "nothing"
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def check_regular(path: Path) -> None:
    """Raise DataError for anything but a regular file; for nothing, opening it will report the reason."""
    if find_kind(path) in ("folder", "other"):
        raise ImagesNotFoundError(f"{show_text(path)} is not a regular file.")


def show_text(text: object) -> str:
    r"""Return text that fits into a line: control characters and invalid Unicode escaped (`\n`, `\x1b`)."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in str(text)
    )
