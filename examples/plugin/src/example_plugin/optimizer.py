"""An optimizer: steps of one size, along the sign of the gradient."""

from typing import Literal

from pydantic import Field

from bakeoff.catalog.fields import OptimizerSettings
from bakeoff.catalog.optimizers import OptimizerRecord


class SignSGD(OptimizerSettings):
    """The settings of `sign_sgd` in a study file."""

    name: Literal["sign_sgd"] = "sign_sgd"
    learning_rate: float = Field(default=0.002, gt=0, description="Step size.")


SIGN_SGD = OptimizerRecord(
    "sign_sgd",
    "steps along the gradient's sign",
    "Bernstein et al. (2018), signSGD: compressed optimisation for non-convex problems",
    SignSGD,
    make="example_plugin.in_torch:SignSGD",
)
