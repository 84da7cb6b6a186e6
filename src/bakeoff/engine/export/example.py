"""Classifies photos with the model beside this file: python example.py PHOTO..."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

FOLDER = Path(__file__).resolve().parent

Box = tuple[float, float, float, float]
"""Left, top, right and bottom edge of a part of a photo, in its pixels."""


def read_photo(path: str, photo: dict[str, Any]) -> Any:
    """Return a photo as uint8 [H, W, C], as images were decoded in training: large JPEGs at 1/2, 1/4 or 1/8."""
    opened = Image.open(path)
    size, target = opened.size, (photo["width"], photo["height"])
    box: Box = (0.0, 0.0, float(size[0]), float(size[1]))
    if opened.format in ("JPEG", "MPO"):
        upright, turned = (scale_whole(each, target, photo["fit"]) for each in (size, size[::-1]))
        drafted = opened.draft(None, (2 * max(upright[0], turned[1]), 2 * max(upright[1], turned[0])))
        box = box if drafted is None or opened.size == size else drafted[1]
    orientation = opened.getexif().get(0x0112, 1)
    box = turn_box(box, opened.size, orientation)
    size = size[::-1] if orientation in range(5, 9) else size
    image: Image.Image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I;16"):
        image = Image.fromarray(((np.asarray(image).astype(np.int64) + 128) // 257).astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        layered = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layered.size, (255, 255, 255, 255)), layered)
    grey = photo["colour"] == "grey"
    image = image if grey and image.mode == "L" else image.convert("RGB")
    image = fit_photo(image, box, scale_whole(size, target, photo["fit"]), target)
    return np.array(image.convert("L"))[..., None] if grey else np.array(image)


def scale_whole(size: tuple[int, int], target: tuple[int, int], fit: str) -> tuple[int, int]:
    """Return what a whole photo is resized to, before its middle is cropped or it is padded with black."""
    (width, height), (wide, high) = size, target
    if fit == "stretch" or width * high == height * wide:
        return target
    is_wider = width * high > height * wide
    if fit == "crop":
        return (int(high * width / height), high) if is_wider else (wide, int(wide * height / width))
    return (wide, max(1, round(wide * height / width))) if is_wider else (max(1, round(high * width / height)), high)


def turn_box(box: Box, size: tuple[int, int], orientation: int) -> Box:
    """Return where a part of a stored photo is after it was turned upright by its EXIF orientation."""
    (left, top, right, bottom), (width, height) = box, size
    if orientation in range(5, 9):
        left, top, right, bottom, width, height = top, left, bottom, right, height, width
    if orientation in (2, 3, 6, 7):
        left, right = width - right, width - left
    if orientation in (3, 4, 7, 8):
        top, bottom = height - bottom, height - top
    return left, top, right, bottom


def fit_photo(image: Image.Image, box: Box, whole: tuple[int, int], target: tuple[int, int]) -> Image.Image:
    """Resize the part of a photo in `box`, which would become `whole`: crop its middle, or pad it with black."""
    if image.size == whole == target:  # never a large JPEG
        return image
    kept = (min(whole[0], target[0]), min(whole[1], target[1]))
    starts, ends = [], []
    for n in (0, 1):
        start, end, first = box[n], box[n + 2], round((whole[n] - kept[n]) / 2)
        scale = (end - start) / whole[n]
        starts.append(start + first * scale if first else start)
        ends.append(min(end, start + (first + kept[n]) * scale) if first + kept[n] < whole[n] else end)
    image = image.resize(kept, Image.Resampling.BILINEAR, box=(starts[0], starts[1], ends[0], ends[1]))
    if kept == target:
        return image
    padded = Image.new(image.mode, target)
    padded.paste(image, ((target[0] - kept[0]) // 2, (target[1] - kept[1]) // 2))
    return padded


def open_model() -> Callable[[Any], Any]:
    """Return what maps uint8 images [N, H, W, C] to probabilities [N, classes], with the packages there are."""
    has_torch = find_spec("torch") is not None
    if has_torch and (FOLDER / "model.py").is_file():
        import model  # type: ignore[import-not-found]  # the file beside this one

        return run_torch(model.load(FOLDER))
    if (FOLDER / "model.onnx").is_file() and find_spec("onnxruntime") is not None:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(FOLDER / "model.onnx"), providers=["CPUExecutionProvider"])
        return lambda images: session.run(None, {"images": images})[0]
    if has_torch:
        import torch

        if (FOLDER / "model.torchscript.pt").is_file():
            return run_torch(torch.jit.load(str(FOLDER / "model.torchscript.pt")))  # type: ignore[no-untyped-call]
        if (FOLDER / "model.pt2").is_file():
            return run_torch(torch.export.load(FOLDER / "model.pt2").module())
    sys.exit(f"Install torch or onnxruntime, whichever the model in {FOLDER} is for.")


def run_torch(network: Any) -> Callable[[Any], Any]:
    """Return what runs a torch network on arrays."""
    import torch

    def run(images: Any) -> Any:
        with torch.inference_mode():
            return network(torch.from_numpy(images)).numpy()

    return run


def main() -> None:
    """Print the most probable classes of each photo."""
    preprocessing = json.loads((FOLDER / "preprocessing.json").read_text("utf-8"))
    run, classes = open_model(), preprocessing["classes"]
    for path in sys.argv[1:]:
        (probabilities,) = run(read_photo(path, preprocessing["photo"])[None])
        best = np.argsort(-probabilities)[:3]
        print(f"{path}: {', '.join(f'{classes[n]} {probabilities[n]:.1%}' for n in best)}")


if __name__ == "__main__":
    main()
