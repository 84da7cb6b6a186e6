"""JAX with Flax and Optax: a whole epoch is one compiled scan over batches; optionally all arms at once by `vmap`.

Needs jax, flax and optax, and no torch. `setting`: {"dtype": "float32" or "bfloat16" (arithmetic; weights stay
float32), "vmap": true to train all arms of a process as one}.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

if '"processes": 1,' not in "".join(sys.argv[1:]):
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from contenders.common import WARM_UP_BATCHES, Clock, Job, Measured, load_images, run_contender

INCLUDES = (
    "one compiled scan per epoch: gathering and conversion of images, forward, backward, optimizer step, running loss "
    "and accuracy; no evaluation, no compilation"
)


def find_initializer(name: str) -> Any:
    """Return Flax's initializer with the name of an arm."""
    plain = {
        "orthogonal": nn.initializers.orthogonal(),
        "random_normal": nn.initializers.normal(0.05),
        "random_uniform": nn.initializers.uniform(0.1),
    }
    return plain[name] if name in plain else getattr(nn.initializers, name)()


class Network(nn.Module):
    """LeNet, ModNet1 or ModNet2."""

    name_of_network: str
    initializer: Any
    dtype: Any

    @nn.compact
    def __call__(self, x: Any, dropout: Any) -> Any:
        convolve = partial(nn.Conv, padding="VALID", kernel_init=self.initializer, dtype=self.dtype)
        dense = partial(nn.Dense, kernel_init=nn.initializers.glorot_uniform(), dtype=self.dtype)
        halves = iter(jax.random.split(dropout, 3))

        def drop(values: Any) -> Any:
            return jnp.where(jax.random.bernoulli(next(halves), 0.5, values.shape), values * 2, 0)

        if self.name_of_network == "lenet":
            for filters in (6, 16):
                x = nn.avg_pool(nn.tanh(convolve(filters, (5, 5))(x)), (2, 2), (2, 2))
            x = x.reshape(len(x), -1)
            for units in (120, 84):
                x = nn.tanh(dense(units)(x))
        elif self.name_of_network == "modnet1":
            for filters in (32, 64, 128):
                x = nn.max_pool(nn.relu(convolve(filters, (3, 3))(x)), (2, 2), (2, 2))
            x = x.reshape(len(x), -1)
            for units in (256, 128):
                x = drop(nn.relu(dense(units)(x)))
        else:
            for filters in (64, 128):
                x = nn.relu(convolve(filters, (3, 3), padding="SAME")(x))
                x = drop(nn.max_pool(nn.relu(convolve(filters, (3, 3))(x)), (2, 2), (2, 2)))
            x = drop(nn.relu(dense(512)(x.reshape(len(x), -1))))
        return dense(10)(x)


def make_epoch(job: Job, network: Network, optimizer: Any, pixels: Any, labels: Any) -> Any:
    """Return a function that trains on the batches of an order of images: (weights, state, key, order)."""

    def compute_loss(weights: Any, chosen: Any, key: Any) -> Any:
        images = pixels[chosen].astype(jnp.float32) / 255
        logits = network.apply(weights, images, key).astype(jnp.float32)
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels[chosen]).mean()
        return loss, (logits.argmax(1) == labels[chosen]).mean()

    def step(carried: Any, chosen: Any) -> Any:
        weights, state, key = carried
        key, own = jax.random.split(key)
        (loss, accuracy), gradients = jax.value_and_grad(compute_loss, has_aux=True)(weights, chosen, own)
        updates, state = optimizer.update(gradients, state, weights)
        return (optax.apply_updates(weights, updates), state, key), (loss, accuracy)

    def epoch(weights: Any, state: Any, key: Any, order: Any) -> Any:
        (weights, state, _), (losses, accuracies) = jax.lax.scan(step, (weights, state, key), order)
        return weights, state, losses.mean(), accuracies.mean()

    return epoch


def train(job: Job, arms: Sequence[str], num_images: int, barrier: Callable[[], None]) -> Measured:
    """Train the arms one after another, or all at once."""
    pixels_N, labels_N = load_images(job, num_images)
    pixels, labels = jnp.asarray(np.array(pixels_N)), jnp.asarray(labels_N)
    dtype = jnp.bfloat16 if job.setting.get("dtype") == "bfloat16" else jnp.float32
    optimizer = optax.adam(0.001) if job.network == "lenet" else optax.sgd(0.001, momentum=0.9)
    key, image = jax.random.key(0), jnp.zeros((1, *pixels.shape[1:]))
    members = [Network(job.network, find_initializer(arm), dtype) for arm in arms]
    weights = [member.init(key, image, key) for member in members]
    epoch = make_epoch(job, members[0], optimizer, pixels, labels)
    if job.setting.get("vmap"):
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *weights)
        runs = [(stacked, jax.vmap(optimizer.init)(stacked))]
        epoch = jax.vmap(epoch, in_axes=(0, 0, None, None))
    else:
        runs = [(each, optimizer.init(each)) for each in weights]
    rng = np.random.default_rng(0)
    order = jnp.asarray(rng.permutation(num_images).reshape(-1, job.batch_size))
    jax.block_until_ready(jax.jit(epoch)(*runs[0], key, order[:WARM_UP_BATCHES]))
    run = jax.jit(epoch).lower(*runs[0], key, order).compile()
    barrier()
    with Clock() as clock:
        losses = [jax.block_until_ready(run(*each, key, order))[2].tolist() for each in runs]
    return clock.measure(num_images * len(arms), losses=losses)


if __name__ == "__main__":
    run_contender(train, INCLUDES, ["jax", "flax", "optax", "numpy"])
