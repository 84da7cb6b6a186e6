"""A mix: the upper part of an image over the lower part of another."""

from typing import Literal

from pydantic import Field

from bakeoff.catalog.mixing import Alpha, MixRecord, MixSettings


class Stack(MixSettings):
    """The settings of `stack` in a study file."""

    name: Literal["stack"] = "stack"
    alpha: Alpha = Field(default=1.0, description="The fraction of rows that stay is drawn from Beta(alpha, alpha).")


STACK = MixRecord(
    "stack", "replaces lower rows by another image's", "this package", Stack, blend="example_plugin.in_torch:stack"
)
