"""The JSON Schema of the document that `--json` prints, made from the records that the document is made of.

Within one version of the schema keys are added, and never removed, renamed or given another meaning.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import GenerateJsonSchema

from bakeoff.report.costs import ArmCost
from bakeoff.report.ensembles import EnsembleReport
from bakeoff.stats.across import AcrossBlocks
from bakeoff.stats.family import FamilyOf, VerdictWord
from bakeoff.stats.groups import GroupLead
from bakeoff.stats.measure import Split
from bakeoff.stats.results import MeanSd, Method, Verdict
from bakeoff.stats.variance import Scope

RESULT_SCHEMA = "bakeoff.result/1"
"""Name and version, the document's `schema`."""


class _Part(BaseModel):
    """Part of the document: further keys may be added."""

    model_config = ConfigDict(extra="allow")


class Trials(_Part):
    """Numbers of trials; reused: found in the ledger instead of trained."""

    planned: int = Field(ge=0)
    done: int = Field(ge=0)
    failed: int = Field(ge=0)
    reused: int = Field(ge=0)


class Decide(_Part):
    """How arms are compared."""

    metric: str
    split: Split
    margin: float | None = Field(gt=0)
    confidence: float = Field(gt=0, lt=1)
    family: FamilyOf
    scope: Scope
    method: Method


class Answer(_Part):
    """The answer in one block, with the arms by what is shown of them."""

    block: str
    best: str | None
    score: MeanSd | None
    not_worse: list[str]
    equivalent: list[str]
    worse: list[str]
    missing: list[str]
    sentence: str


class Score(_Part):
    """One replicate's value of the deciding metric on the deciding split."""

    replicate: int = Field(ge=1)
    value: float


class Arm(_Part):
    """One arm in one block: its metrics by split, empty for a split that was not evaluated."""

    block: str
    arm: str
    replicates: int = Field(ge=0)
    failed: int = Field(ge=0)
    train: dict[str, MeanSd]
    validation: dict[str, MeanSd]
    test: dict[str, MeanSd]
    held_out: dict[str, MeanSd] = Field(alias="held-out")
    scores: list[Score]
    epochs: MeanSd | None
    seconds: MeanSd | None


class Look(_Part):
    """One look at the results of the test split."""

    study: str
    looked_at: str
    replicates: int = Field(ge=0)


class FinalTest(_Part):
    """How often the test split was opened, and what it evaluated."""

    opened: int = Field(ge=0)
    opened_at: list[str]
    changed_after: list[str]
    looks: list[Look]
    trials: int = Field(ge=0)


class Failure(_Part):
    """A failed trial; replicate and fold count from 1."""

    trial: str
    block: str
    arm: str
    replicate: int = Field(ge=1)
    reason: str
    fold: int | None = Field(ge=1)


class Step(_Part):
    """One step of a chain of arms: what it adds to the arm it is based on, and since the chain's start."""

    block: str
    arm: str
    base: str | None
    adds: Verdict | None
    since_start: Verdict | None


class About(_Part):
    """One of the study's notes on itself."""

    name: str
    text: str


class Requirement(_Part):
    """Whether a requirement is met in one block; block null: in none, as in an unfinished study."""

    requirement: str
    block: str | None
    met: bool
    verdict: VerdictWord | None
    sentence: str
    remedy: str | None


class ResultDocument(_Part):
    """The result of a study: `bakeoff run --json`, `bakeoff report --json`, `Result.document`.

    Shares are 0..1 and times seconds; a verdict is on arm `a` relative to arm `b`; what is unknown is null. Within this
    version, keys are added and never removed or changed: ignore those that you do not know.
    """

    schema_name: Literal["bakeoff.result/1"] = Field(alias="schema")
    study: str
    question: str
    about: list[About]
    state: Literal["done", "failed", "unfinished"]
    trials: Trials
    decide: Decide
    answers: list[Answer]
    overall: str | None
    arms: list[Arm]
    verdicts: list[Verdict]
    final_test: FinalTest
    reduced: str | None
    notes: list[str]
    data: dict[str, dict[str, Any]]
    failures: list[Failure]
    costs: list[ArmCost]
    ensembles: list[EnsembleReport]
    evidence: list[dict[str, Any]]
    searches: list[dict[str, Any]]
    steps: list[Step]
    published: dict[str, Any] | None
    across_blocks: AcrossBlocks | None
    numeric: str
    hardware: dict[str, str]
    versions: dict[str, str]
    command: str
    seconds: float = Field(ge=0)
    report: str | None
    report_html: str | None
    requirements: list[Requirement]
    groups: list[GroupLead]
    factors: list[dict[str, Any]]
    power: dict[str, Any]
    robustness: dict[str, Any]
    audits: dict[str, dict[str, Any]]
    implausible: dict[str, str]


_SOMETIMES = ("requirements", "groups", "factors", "power", "robustness", "audits", "implausible")
"""Keys that only some documents have."""


class _WithoutTitles(GenerateJsonSchema):
    """Leaves out titles of fields, which repeat their names."""

    def field_title_should_be_set(self, schema: object) -> bool:
        """Return False."""
        return False


def result_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a result's document."""
    # As serialized: keys of records are all there, also those with a default.
    schema = ResultDocument.model_json_schema(mode="serialization", schema_generator=_WithoutTitles)
    schema["required"] = [name for name in schema["required"] if name not in _SOMETIMES]
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema, "title": RESULT_SCHEMA}
