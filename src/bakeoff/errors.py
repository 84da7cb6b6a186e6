"""User errors: one class hierarchy, one clear line each, and a code for each kind, which `bakeoff explain` explains."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_MOST_CHARACTERS = 1_600

STUDY_NOT_FOUND = "BK101"
UNREADABLE = "BK102"
UNKNOWN_FIELD = "BK103"
UNKNOWN_NAME = "BK104"
INVALID_VALUE = "BK105"
MISSING_FIELD = "BK106"
CONFLICT = "BK107"
INVALID_AXES = "BK108"
UNCLEAR_NAME = "BK109"
INVALID_OVERRIDE = "BK110"
IMAGES_NOT_FOUND = "BK201"
DOES_NOT_FIT = "BK301"
WINNER = "BK309"


class BakeoffError(Exception):
    """A mistake or a missing thing outside bakeoff. The message names the culprit and the remedy.

    Attributes:
        code: of the kind of mistake, such as `BK201`; stable, and explained by `bakeoff explain`. Empty for an error of
            another package that has none. A subclass without a code has that of its base.
    """

    code: str = ""

    def __init_subclass__(cls, *, code: str | None = None, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if code is not None:
            cls.code = code

    def __init__(self, *said: object) -> None:
        super().__init__(*said)
        if self.code:
            self.add_note(f"`bakeoff explain {self.code}` says more.")  # in tracebacks

    def format(self) -> str:
        """Return the message as the command line prints it, with the code at the end of its first line."""
        first, newline, others = str(self).partition("\n")
        return f"{_mark(first, self.code)}{newline}{others}"

    def dump(self) -> dict[str, object]:
        """Return code and message for JSON."""
        return {"code": self.code, "message": str(self)}


def _mark(line: str, code: str) -> str:
    return f"{line} [{code}]" if code else line


@dataclass(frozen=True)
class Problem:
    """One problem in a study: where it is, and what to write instead.

    Attributes:
        place: `file:line` where known, else the source's name (`--set`).
        field: dotted path of the field.
        message: what was given, what is allowed, the closest valid name.
        code: of the kind of mistake; empty for a line that only counts further problems.
    """

    place: str
    field: str
    message: str
    code: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.field, _shorten(self.message)) if part)


def _shorten(message: str) -> str:
    """Return a message shortened in the middle if it is too long: a name can fill a screen."""
    if len(message) <= _MOST_CHARACTERS:
        return message
    return f"{message[: _MOST_CHARACTERS // 2]} [...] {message[-_MOST_CHARACTERS // 4 :]}"


class StudyError(BakeoffError):
    """A study is invalid. Carries every problem found, not only the first, whose code is the error's."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        self.code = self.problems[0].code if self.problems else ""
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def format(self) -> str:
        """Return every problem on a line with its code."""
        return "\n".join(_mark(str(problem), problem.code) for problem in self.problems)

    def dump(self) -> dict[str, object]:
        """Return code, message and problems for JSON."""
        return {**super().dump(), "problems": [vars(problem) for problem in self.problems]}


class DataError(BakeoffError):
    """Images cannot be found, fetched or decoded."""


class NetworkError(BakeoffError):
    """A network cannot be built: an unknown name or an impossible layer."""


class WeightsError(BakeoffError):
    """Weights cannot be found, fetched, read, or do not fit the network."""


class WorkspaceError(BakeoffError):
    """The workspace or its ledger cannot be read or written."""


class OptionError(BakeoffError, code="BK601"):
    """An option or argument has a value that is not allowed, or does not go with another."""


class WorkspaceOptionError(OptionError, WorkspaceError):
    """An option about the workspace has a value that is not allowed."""


class DataOptionError(OptionError, DataError):
    """An option about images or results has a value that is not allowed."""


class UnknownNameError(BakeoffError, code=UNKNOWN_NAME):
    """A name that nothing known has: an arm, a block, a table, a corruption."""


class UnknownPartError(UnknownNameError, WorkspaceError):
    """A study in the workspace has no part of this name."""


class UnknownNetworkError(UnknownNameError, NetworkError):
    """A library has no network of this name."""


class MissingPackageError(BakeoffError, code="BK501"):
    """An optional package is not installed, or cannot be imported."""


class MissingDataPackageError(MissingPackageError, DataError):
    """A package that reads images or results is not installed."""


class MissingPluginError(MissingPackageError, WorkspaceError):
    """A package that a study in the workspace uses is not installed."""


class ImagesNotFoundError(DataError, code=IMAGES_NOT_FOUND):
    """A dataset, folder, manifest or photo is not there."""


class DownloadError(DataError, code="BK202"):
    """Images cannot be downloaded."""


class DamagedDatasetError(DataError, code="BK203"):
    """A file of a dataset is damaged, cut off, or not the publisher's."""


class UnreadableImagesError(DataError, code="BK204"):
    """Some image files cannot be decoded."""


class FolderLayoutError(DataError, code="BK205"):
    """A folder is not laid out as a subfolder for each class."""


class ManifestError(DataError, code="BK206"):
    """A manifest is not a table of paths and labels, or contradicts itself."""


class ClassesError(DataError, code="BK207"):
    """The images do not have the classes that are named, or not enough of them."""


class TooFewImagesError(DataError, code="BK208"):
    """A class has too few images to be split."""


class NoValidationImagesError(DataError, code="BK209"):
    """Images without a validation split of their own, which the study asks for."""


class DuplicateImagesError(DataError, code="BK210"):
    """The same image stands in two classes or on both sides of a split."""


class GroupsError(DataError, code="BK211"):
    """No split can keep the groups of images together."""


class ArchiveError(DataError, code="BK212"):
    """An archive of images cannot be unpacked."""


class HubDatasetError(DataError, code="BK213"):
    """A dataset of the hub is not one of labelled images, or needs a configuration."""


class ImagesChangedError(DataError, code="BK214"):
    """Images changed while they were in use."""


class ImageCacheError(DataError, code="BK215"):
    """Decoded or downloaded images cannot be stored."""


class UnknownDatasetError(UnknownNameError, DataError):
    """No dataset has this name."""


class UnknownToolError(UnknownNameError, DataError):
    """No importer has this name."""


class NetworkFitError(NetworkError, code=DOES_NOT_FIT):
    """A network or an augmentation does not fit its images."""


class UserCodeError(NetworkError, code="BK302"):
    """A network class of the user's cannot be imported or built."""


class PublishedWeightsError(WeightsError, NetworkError, code="BK304"):
    """A network has no published weights, or they cannot be downloaded."""


class WeightsFileError(WeightsError, WorkspaceError, code="BK305"):
    """A file of weights is missing, not what the study says, or not one of weights."""


class WeightsFitError(WeightsError, code="BK306"):
    """Weights have other shapes than the network."""


class TransferError(WeightsError, WorkspaceError, code="BK307"):
    """The trial or study that a transfer starts from is missing or not finished."""


class SeenImagesError(WorkspaceError, code="BK308"):
    """Weights have seen images that would test them."""


class WinnerError(WorkspaceError, code=WINNER):
    """A study that a recipe starts from has no winner, or none yet."""


class NoLedgerError(WorkspaceError, code="BK401"):
    """A folder is no workspace: it has no ledger."""


class UnknownStudyError(WorkspaceError, code="BK402"):
    """A workspace has no study of this name, or several."""


class NotYetError(WorkspaceError, code="BK403"):
    """What is asked for exists only after a study has run, or run further."""


class WorkspaceInUseError(WorkspaceError, code="BK404"):
    """Another command holds the workspace's lock."""


class UnwritableError(WorkspaceError, code="BK405"):
    """A file or folder cannot be written."""


class LedgerError(WorkspaceError, code="BK406"):
    """A ledger, or a file beside it, is damaged or not bakeoff's."""


class NewerVersionError(WorkspaceError, code="BK407"):
    """A ledger or model was written by a newer bakeoff."""


class LostFileError(WorkspaceError, code="BK408"):
    """Stored predictions, weights or checkpoints are missing or damaged."""


class StorageError(WorkspaceError, code="BK409"):
    """A disk is full, read-only, or failing: retrying does not help until the user has fixed it."""


class DeviceError(BakeoffError, code="BK502"):
    """A device is not there, or torch cannot use it."""


class ClusterError(BakeoffError, code="BK503"):
    """A Ray cluster cannot be reached, or its nodes differ from this machine."""


class TrackerError(BakeoffError, code="BK504"):
    """What a study should be logged to is not valid, or does not answer."""


class WorkerError(WorkspaceError, code="BK505"):
    """A worker process died or sent something it must not."""


class ServerError(BakeoffError, code="BK506"):
    """The web server cannot listen, or a photo sent to it cannot be used."""


class ResultsNotFoundError(DataError, code="BK701"):
    """Results to judge are missing, or not of a known tool."""


class ResultsTableError(DataError, code="BK702"):
    """A table of results is damaged, too large, or not a table."""


class ColumnError(DataError, code="BK703"):
    """It is not clear which column holds what, or a named column is missing."""


class RunsError(DataError, code="BK704"):
    """There are too few runs to judge, or some stand twice."""


class ScoresError(DataError, code="BK705"):
    """Scores are no numbers, or not in one unit."""


class PredictionsError(DataError, code="BK706"):
    """Predictions do not fit each other, their labels or their classes."""


class ModelFileError(WorkspaceError, code="BK801"):
    """A file is not a model of bakeoff's, or its description is damaged."""


class RefitError(WorkspaceError, code="BK803"):
    """A winner cannot be trained again on all images."""


class HeatMapError(WorkspaceError, code="BK804"):
    """A model cannot explain its predictions by heat maps."""


def nearest(name: object, choices: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the choice closest to `name`; "" if there is none."""
    closest = find_nearest(name, choices)
    return f" Did you mean '{closest}'?" if closest else ""


def find_nearest(name: object, choices: Iterable[str]) -> str:
    """Return the choice closest to `name`, or whose initials it is; "" if there is none."""
    known = list(choices)
    matches = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    matches = matches or [choice for choice in known if name and initials(choice) == str(name)]
    return matches[0] if matches else ""


def initials(name: str) -> str:
    """Return the first letters of two words or more: "lr" of "learning_rate"; empty for one word."""
    words = name.split("_")
    return "".join(word[:1] for word in words) if len(words) > 1 else ""
