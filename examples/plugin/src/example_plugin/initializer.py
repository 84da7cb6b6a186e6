"""An initializer: a few random weights for every output, all others zero."""

import numpy as np

from bakeoff.catalog.initializers import InitializerRecord, Shape, Weights

NUM_WEIGHTS = 15


def draw_sparse(shape: Shape, rng: np.random.Generator) -> Weights:
    """Draw float64 weights of a shape: `(out, in, rows, columns)` of a convolution, `(out, in)` of a dense layer."""
    num_outputs, num_inputs = shape[0], int(np.prod(shape[1:]))
    ranks = rng.random((num_outputs, num_inputs)).argsort(axis=1).argsort(axis=1)
    weights = np.where(ranks < NUM_WEIGHTS, rng.standard_normal((num_outputs, num_inputs)), 0.0)
    return weights.reshape(shape)


SPARSE = InitializerRecord(
    "sparse",
    f"normal, sd 1, for {NUM_WEIGHTS} random inputs of every output; others 0",
    "Martens (2010), Deep learning via Hessian-free optimization",
    draw_sparse,
)
