"""Common corruptions of test images at five severities (Hendrycks and Dietterich 2019). No torch.

"Benchmarking neural network robustness to common corruptions and perturbations", ICLR 2019: fourteen of its fifteen.
Frost is absent: it needs photographs of frost that cannot be shipped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bakeoff.data.corruptions import blur, digital, noise, weather
from bakeoff.data.corruptions.constants import SEVERITIES, find_constants
from bakeoff.errors import OptionError, UnknownNameError, nearest

VERSION = 1
"""Of this arithmetic; stored predictions of another version are not used."""

Corrupt: TypeAlias = Callable[
    [npt.NDArray[np.float64], Sequence[float], Sequence[np.random.Generator]], npt.NDArray[np.float64]
]
"""Images [N, H, W, C] of 0..1, constants, a generator per image -> images, to be clipped to 0..1."""

CORRUPTIONS: Mapping[str, Corrupt] = {
    "gaussian_noise": noise.add_gaussian_noise,
    "shot_noise": noise.add_shot_noise,
    "impulse_noise": noise.add_impulse_noise,
    "defocus_blur": blur.defocus,
    "glass_blur": blur.blur_by_glass,
    "motion_blur": blur.blur_by_motion,
    "zoom_blur": blur.blur_by_zoom,
    "snow": weather.add_snow,
    "fog": weather.add_fog,
    "brightness": digital.brighten,
    "contrast": digital.reduce_contrast,
    "elastic_transform": digital.transform_elastically,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.compress,
}
"""In the order of the paper."""


class Condition(NamedTuple):
    """A corruption at a severity, 1..5."""

    corruption: str
    severity: int


_MOST_VALUES = 2**22
"""Values corrupted at a time; bounds memory, changes no digit."""


def check_corruptions(names: Sequence[str]) -> tuple[str, ...]:
    """Return the named corruptions in the order of the paper, each once; all of them if none is named.

    Raises:
        BakeoffError: an unknown name.
    """
    for name in names:
        if name not in CORRUPTIONS:
            frost = " Frost needs photographs of frost that cannot be shipped." if name == "frost" else ""
            allowed = ", ".join(CORRUPTIONS)
            raise UnknownNameError(
                f"unknown corruption '{name}'.{frost} Allowed: {allowed}.{nearest(name, CORRUPTIONS)}"
            )
    return tuple(name for name in CORRUPTIONS if name in names or not names)


def list_conditions(corruptions: Sequence[str] = (), severities: Sequence[int] = SEVERITIES) -> tuple[Condition, ...]:
    """Return every named corruption (all if none is named) at every severity, in the order of the paper.

    Raises:
        BakeoffError: an unknown name or severity, or no severity.
    """
    for severity in severities:
        if severity not in SEVERITIES:
            raise OptionError(f"severity {severity} does not exist: give some of {', '.join(map(str, SEVERITIES))}.")
    if not severities:
        raise OptionError(f"no severity is given: give some of {', '.join(map(str, SEVERITIES))}.")
    names = check_corruptions(corruptions)
    return tuple(Condition(name, severity) for name in names for severity in sorted(set(severities)))


def corrupt_images(
    pixels_NHWC: npt.NDArray[np.uint8], name: str, severity: int, *, seed: int = 0, first: int = 0
) -> npt.NDArray[np.uint8]:
    """Return corrupted images.

    An image's result depends on its pixels, the corruption, the severity, the seed and its number alone, not on the
    other images.

    Args:
        pixels_NHWC: images, 1 or 3 channels.
        name: of a corruption.
        severity: 1..5.
        seed: of all random draws.
        first: the number of the first image; the others follow.

    Raises:
        BakeoffError: an unknown corruption.
        ValueError: another severity.
    """
    (name,) = check_corruptions([name])
    height, width = pixels_NHWC.shape[1:3]
    constants = find_constants(name, severity, min(height, width))
    corrupted = np.empty_like(pixels_NHWC)
    step = max(1, _MOST_VALUES // max(1, int(np.prod(pixels_NHWC.shape[1:]))))
    for start in range(0, len(pixels_NHWC), step):
        part = pixels_NHWC[start : start + step]
        key = (seed, list(CORRUPTIONS).index(name), severity)
        draws = [np.random.default_rng((*key, first + start + number)) for number in range(len(part))]
        images = CORRUPTIONS[name](part / 255.0, constants, draws)
        corrupted[start : start + step] = np.rint(255 * np.clip(images, 0, 1))
    return corrupted


__all__ = [
    "CORRUPTIONS",
    "SEVERITIES",
    "VERSION",
    "Condition",
    "Corrupt",
    "check_corruptions",
    "corrupt_images",
    "list_conditions",
]
