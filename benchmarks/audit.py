"""What the audit of images finds: transformed copies of real images, and how many pairs in real data sets; with times.

    python benchmarks/audit.py --data-dir DIR

Sensitivity: transformed copies of some images of every set are matched with these images; found is the share of copies
that are paired with their original. Pairs are verified one by one, so the other images of the set do not matter. False
alarms: the near duplicates among the images as they are; look at them with `bakeoff data check NAME --csv FILE`."""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from machine import describe_machine, name_machine
from PIL import Image, ImageOps

from bakeoff.data.audit.near import CHANGES, Duplicates, find_duplicates, match
from bakeoff.data.audit.signatures import Signatures, sign_images
from bakeoff.data.files import list_whole
from bakeoff.data.pictures import read_picture
from bakeoff.data.source import DataSource
from bakeoff.data.store import open_test, open_training

HERE = Path(__file__).resolve().parent
Pixels = npt.NDArray[np.uint8]


def encode(quality: int) -> Callable[[Image.Image], Image.Image]:
    """Return a JPEG encoding."""

    def change(image: Image.Image) -> Image.Image:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality)
        return Image.open(io.BytesIO(stream.getvalue()))

    return change


def crop(share: float) -> Callable[[Image.Image], Image.Image]:
    """Return a crop that cuts a share of each side, in all, somewhere."""
    generator = np.random.default_rng(1)

    def change(image: Image.Image) -> Image.Image:
        cuts = [max(1, round(side * share)) for side in image.size]
        left, top = (int(generator.integers(0, cut + 1)) for cut in cuts)
        return image.crop((left, top, image.width - cuts[0] + left, image.height - cuts[1] + top))

    return change


def scale(factor: float) -> Callable[[Image.Image], Image.Image]:
    """Return a resizing."""

    def change(image: Image.Image) -> Image.Image:
        return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)

    return change


TRANSFORMATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "same pixels": lambda image: image,
    "JPEG, quality 90": encode(90),
    "JPEG, quality 75": encode(75),
    "JPEG, quality 50": encode(50),
    "half the size": scale(0.5),
    "1.5 times the size": scale(1.5),
    "mirrored": ImageOps.mirror,
    "mirrored, JPEG 75": lambda image: encode(75)(ImageOps.mirror(image)),
    "10% brighter": lambda image: image.point(lambda value: min(255, round(value * 1.1))),
    "20 levels brighter": lambda image: image.point(lambda value: min(255, value + 20)),
    "5% cropped": crop(0.05),
    "10% cropped": crop(0.1),
}


def main() -> None:
    """Measure every set, print the table, save the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="where to look for images first")
    parser.add_argument("--sets", nargs="+", default=["photos", "cifar10", "mnist", "fashion-mnist", "alnum36"])
    parser.add_argument("--copies", type=int, default=500, help="transformed images per set (default %(default)s)")
    parser.add_argument("--output", type=Path, help="the JSON file (default: benchmarks/results/audit-MACHINE.json)")
    options = parser.parse_args()
    found = {name: measure(name, options.data_dir, options.copies) for name in options.sets}
    result = {
        "machine": describe_machine(),
        "versions": {name: version(name) for name in ("bakeoff", "numpy", "scipy", "pillow")},
        "copies": options.copies,
        "sets": found,
    }
    output = options.output or HERE / "results" / f"audit-{name_machine()}.json"
    output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(format_table(found))


def measure(name: str, data_dir: Path | None, num_copies: int) -> dict[str, Any]:
    """Return what is found in a set as it is, the seconds, and the share of transformed copies that is found."""
    images, test_from = read_images(name, data_dir)
    started, cpu = time.perf_counter(), time.process_time()
    signatures = sign(images)
    signed = time.perf_counter()
    duplicates = find_duplicates(signatures)
    ended, cpu_ended = time.perf_counter(), time.process_time()
    chosen = np.random.default_rng(0).permutation(len(images))[:num_copies]
    shares = {}
    for label, change in TRANSFORMATIONS.items():
        copies = sign([np.asarray(change(to_image(images[number]))) for number in chosen])
        pairs = {tuple(pair) for pair in match(signatures.take(chosen), copies).tolist()}
        shares[label] = sum((number, number) in pairs for number in range(len(chosen))) / len(chosen)
    print(f"{name}: {len(images):,} images, {ended - started:.1f} s", flush=True)
    return {
        "images": len(images),
        "seconds_signing": round(signed - started, 2),
        "seconds_searching": round(ended - signed, 2),
        "seconds_of_cpu": round(cpu_ended - cpu, 2),
        "found": shares,
        **count(duplicates, test_from),
    }


def count(duplicates: Duplicates, test_from: int) -> dict[str, Any]:
    """Return how many images are duplicates in a set as it is, and how many of the test images of training images."""
    near, exact = duplicates.near, duplicates.exact
    across = near[(near[:, 0] < test_from) & (near[:, 1] >= test_from), 1]
    copies = {int(n) for n in np.flatnonzero((exact < test_from) & (np.arange(len(exact)) >= test_from))}
    kinds = np.bincount(duplicates.changes, minlength=len(CHANGES)).tolist()
    return {
        "exact_copies": int((exact != np.arange(len(exact))).sum()),
        "near_pairs": dict(zip(CHANGES, kinds, strict=True)),
        "test_images_in_training": len(copies | set(across.tolist())),
    }


def read_images(name: str, data_dir: Path | None) -> tuple[list[Pixels], int]:
    """Return all images of a set, and the number of the first test image."""
    if name in ("photos", "alnum36"):
        listing = list_whole(DataSource(folder=name), data_dir)
        return [read_picture(file.path).pixels_HWC for file in listing.files], len(listing.files)
    training, test = open_training(name, data_dir), open_test(name, data_dir)
    return [*training.pixels, *test.pixels], len(training.labels)


def sign(images: list[Pixels]) -> Signatures:
    """Sign images of any sizes, those of one shape in a row together."""
    arrays = [image if image.ndim == 3 else image[..., np.newaxis] for image in images]
    if len({array.shape for array in arrays}) == 1:
        return sign_images(np.stack(arrays))
    return Signatures.join(sign_images(array[np.newaxis]) for array in arrays)


def to_image(pixels: Pixels) -> Image.Image:
    """Return pixels [H, W, 1 or 3] as an image."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def format_table(found: dict[str, dict[str, Any]]) -> str:
    """Return a Markdown table of the shares found."""
    lines = [f"| transformation | {' | '.join(found)} |", f"| --- |{' ---: |' * len(found)}"]
    for label in TRANSFORMATIONS:
        shares = [100 * each["found"][label] for each in found.values()]
        lines.append(f"| {label} | {' | '.join(f'{share:.1f}%' for share in shares)} |")
    for key in ("images", "exact_copies", "near_pairs", "test_images_in_training", "seconds_of_cpu"):
        cells = [each[key] if key != "near_pairs" else sum(each[key].values()) for each in found.values()]
        lines.append(f"| {key.replace('_', ' ')} | {' | '.join(f'{cell:,}' for cell in cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
