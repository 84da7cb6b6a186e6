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


def read_photo(path: str, photo: dict[str, Any]) -> Any:
    """Return a photo as uint8 [H, W, C], as images were decoded in training."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        layered = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layered.size, (255, 255, 255, 255)), layered)
    grey = photo["colour"] == "grey"
    image = image if grey and image.mode == "L" else image.convert("RGB")
    image = fit_photo(image, photo["width"], photo["height"], photo["fit"])
    return np.array(image.convert("L"))[..., None] if grey else np.array(image)


def fit_photo(image: Image.Image, width: int, height: int, fit: str) -> Image.Image:
    """Resize a photo as in training: crop its middle, pad it with black, or stretch it."""
    whole = (width, height)
    is_wider = image.width * height > image.height * width
    if fit == "crop":
        longer = int(height * image.width / image.height) if is_wider else int(width * image.height / image.width)
        whole = (longer, height) if is_wider else (width, longer)
    elif fit == "pad" and is_wider:
        whole = (width, max(1, round(width * image.height / image.width)))
    elif fit == "pad":
        whole = (max(1, round(height * image.width / image.height)), height)
    kept = (min(whole[0], width), min(whole[1], height))
    if image.size == whole == (width, height):
        return image
    first = (round((whole[0] - kept[0]) / 2), round((whole[1] - kept[1]) / 2))
    scale = (image.width / whole[0], image.height / whole[1])
    right, bottom = (min(size, (first[n] + kept[n]) * scale[n]) for n, size in enumerate(image.size))
    box = (first[0] * scale[0], first[1] * scale[1], right, bottom)
    image = image.resize(kept, Image.Resampling.BILINEAR, box=box)
    if kept == (width, height):
        return image
    padded = Image.new(image.mode, (width, height))
    padded.paste(image, ((width - kept[0]) // 2, (height - kept[1]) // 2))
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
