"""Heat maps drawn over the images that they explain, as PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from bakeoff.deploy.photos import Pixels
from bakeoff.errors import UnwritableError
from bakeoff.report.text import show_text
from bakeoff.workspace import write_whole

_COLOURS = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], np.float64)
"""Matplotlib's inferno at five points: readable with any colour vision, and in print."""

_OPACITY = 0.6
_SHORTEST_SHOWN = 256


def lay_over(pixels_NHWC: Pixels, maps_NHW: npt.NDArray[np.floating]) -> Pixels:
    """Return images with heat maps laid over them, uint8 [N, H, W, 3]; the lower the heat, the clearer the image.

    Args:
        pixels_NHWC: grey or colour images.
        maps_NHW: 0..1.
    """
    places = np.linspace(0, 1, len(_COLOURS))
    colours_NHWC = np.stack([np.interp(maps_NHW, places, _COLOURS[:, channel]) for channel in range(3)], axis=-1)
    opacity_NHW1 = _OPACITY * maps_NHW[..., np.newaxis]
    laid: Pixels = np.rint(pixels_NHWC * (1 - opacity_NHW1) + colours_NHWC * opacity_NHW1).astype(np.uint8)
    return laid


class HeatMapFolder:
    """A folder of pictures with heat maps, named after the photos and numbered in their order.

    Args:
        folder: made if necessary; files of the same names are replaced.

    Raises:
        DataError: it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._num_written = folder, 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnwritableError(
                f"{show_text(str(folder))} cannot be a folder for heat maps: {error.strerror}."
            ) from error

    def write(self, photo: str, picture_HWC: Pixels) -> Path:
        """Write the picture of a photo, enlarged if it is small; return its path.

        Raises:
            StorageError: it cannot be written.
        """
        from PIL import Image  # imported late: only this draws

        self._num_written += 1
        path = self._folder / f"{self._num_written:04}-{Path(photo).stem}.png"
        image = Image.fromarray(picture_HWC)
        factor = -(-_SHORTEST_SHOWN // min(image.size))
        shown = image.resize((image.width * factor, image.height * factor), Image.Resampling.BICUBIC)
        write_whole(path, lambda temporary: shown.save(temporary, format="PNG"))
        return path
