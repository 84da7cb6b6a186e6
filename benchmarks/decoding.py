"""The time to decode images: bakeoff, Pillow, and torchvision's ImageFolder read by a DataLoader.

    python benchmarks/decoding.py
    python benchmarks/decoding.py --photos 64 --rounds 7

Images are made here: 32-pixel PNG files, and JPEG files of 1632 x 1224 pixels (2 megapixels, quality 85, chroma halved,
about 0.5 MB) whose detail falls off with frequency as in photographs, with edges. Every way of decoding brings them to
a square: bakeoff stores them, the others hand over an array or a batch. The rounds are interleaved, and medians are
reported.

On a machine that others use as well, compare the processor time: it is the sum over all threads and processes, and
hardly depends on the load."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from contenders.common import count_cores
from machine import describe_machine, name_machine
from PIL import Image

from bakeoff.data import fitting, parallel
from bakeoff.data.locate import CACHE_VARIABLE
from bakeoff.data.source import DataSource
from bakeoff.data.store import open_training
from bakeoff.engine.fused.vision import import_torchvision

HERE = Path(__file__).resolve().parent
PHOTO_WH = (1632, 1224)
QUALITY = 85
CASES: dict[str, tuple[str, int]] = {
    "32 px PNG": ("png", 32),
    "2 MP JPEG to 64": ("jpg", 64),
    "2 MP JPEG to 224": ("jpg", 224),
}


def main() -> None:
    """Measure every way in turn, print the table, save the samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=48, help="JPEG files (default %(default)s)")
    parser.add_argument("--small", type=int, default=2_000, help="PNG files (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="samples of each (default %(default)s)")
    parser.add_argument("--output", type=Path, help="the JSON file (default: benchmarks/results/decoding-MACHINE.json)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        num_bytes = write_images(folder, options.photos, options.small)
        samples = measure_all(folder, options.rounds)
        differences = {f"to {side}": compare(sorted((folder / "jpg").rglob("*.jpg")), side) for side in (64, 224)}
    result = {
        "machine": describe_machine(),
        "versions": {name: version(name) for name in ("bakeoff", "pillow", "torch", "torchvision", "numpy")},
        "options": {name: str(value) for name, value in vars(options).items()},
        "bytes_per_file": num_bytes,
        "ms_per_image": summarize(samples),
        "samples": samples,
        "levels_from_full_decoding": differences,
    }
    path = options.output or HERE / "results" / f"decoding-{name_machine()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print_table(result["ms_per_image"], path)
    print(json.dumps(differences))


def write_images(folder: Path, num_photos: int, num_small: int) -> dict[str, int]:
    """Write two classes of each kind; return the mean size of their files in bytes."""
    for number in range(num_photos):
        save(make_scene(*PHOTO_WH, seed=number), folder / "jpg" / f"class{number % 2}" / f"{number}.jpg")
    for number in range(num_small):
        save(make_scene(32, 32, seed=number), folder / "png" / f"class{number % 2}" / f"{number}.png")
    sizes = {kind: [path.stat().st_size for path in (folder / kind).rglob(f"*.{kind}")] for kind in ("jpg", "png")}
    return {kind: round(statistics.mean(values)) for kind, values in sizes.items()}


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=QUALITY)


def make_scene(width: int, height: int, seed: int) -> Image.Image:
    """Noise whose amplitude falls off with frequency, as in photographs, and a few edges."""
    generator = np.random.default_rng(seed)
    spectrum = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    spectrum[0, 0] = np.inf
    waves = generator.standard_normal((3, *spectrum.shape)) + 1j * generator.standard_normal((3, *spectrum.shape))
    fields = np.fft.irfft2(waves / spectrum**1.3, (height, width))
    fields /= fields.std(axis=(1, 2), keepdims=True)
    pixels = 127 + 45 * np.moveaxis(fields[:1] + 0.3 * fields, 0, 2)
    for _ in range(6):
        top, left = generator.integers(0, height), generator.integers(0, width)
        pixels[top : top + height // 4, left : left + width // 4] += generator.uniform(-50, 50, 3)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def measure_all(folder: Path, num_rounds: int) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Return the samples of every way of decoding, by case and way."""
    samples: dict[str, dict[str, list[dict[str, float]]]] = {}
    for number in range(num_rounds):
        for case, (kind, side) in CASES.items():
            ways = list(list_ways(folder / kind, side).items())
            for name, decode in ways if number % 2 == 0 else reversed(ways):
                samples.setdefault(case, {}).setdefault(name, []).append(measure(decode))
    return samples


def list_ways(folder: Path, side: int) -> dict[str, Callable[[], int]]:
    """Return every way of decoding a folder; each returns the number of images."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    cores = count_cores()
    ways: dict[str, Callable[[], int]] = {
        "bakeoff, one core": lambda: run_bakeoff(folder, side, 1),
        f"bakeoff, {cores} cores": lambda: run_bakeoff(folder, side, cores),
        "Pillow": lambda: run_pillow(files, side, 0),
        "ImageFolder": lambda: run_folder(folder, side, 0),
        f"ImageFolder, {cores} DataLoader workers": lambda: run_folder(folder, side, cores),
    }
    if files[0].suffix == ".jpg":
        ways["Pillow, draft"] = lambda: run_pillow(files, side, 2)
        ways["bakeoff, one core, decoded in full"] = lambda: run_in_full(folder, side)
    return ways


def measure(decode: Callable[[], int]) -> dict[str, float]:
    """Return milliseconds per image: time passed, and processor time of this process and its children."""
    before, own, started = os.times(), time.process_time(), time.perf_counter()
    num_images = decode()
    passed, own, after = time.perf_counter() - started, time.process_time() - own, os.times()
    processor = own + after.children_user - before.children_user + after.children_system - before.children_system
    return {"passed": 1e3 * passed / num_images, "processor": 1e3 * processor / num_images}


def run_bakeoff(folder: Path, side: int, num_workers: int) -> int:
    """Open a folder with an empty cache: listing, hashes of the files, decoding, storing, fingerprint."""
    parallel.count_cores = lambda: num_workers
    with tempfile.TemporaryDirectory() as cache:
        os.environ[CACHE_VARIABLE] = cache
        return len(open_training(DataSource(folder=str(folder), image_size=side, test=0.01)).labels)


def run_in_full(folder: Path, side: int) -> int:
    """Do the same without decoding JPEGs at a reduced scale, as bakeoff once did."""
    drafted, fitting._DRAFTED_FORMATS = fitting._DRAFTED_FORMATS, ()
    try:
        return run_bakeoff(folder, side, 1)
    finally:
        fitting._DRAFTED_FORMATS = drafted


def run_pillow(files: Sequence[Path], side: int, margin: int) -> int:
    """Decode in a plain loop; with a margin, at a reduced scale of at least this many times the side."""
    for path in files:
        with Image.open(path) as image:
            if margin:
                image.draft("RGB", (margin * side, margin * side))
            np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR))
    return len(files)


def run_folder(folder: Path, side: int, num_workers: int) -> int:
    """Read batches of 64 from torchvision's ImageFolder with Resize, CenterCrop and PILToTensor."""
    import_torchvision()
    from torchvision import datasets, transforms

    chain = [transforms.Resize(side), transforms.CenterCrop(side), transforms.PILToTensor()]
    images = datasets.ImageFolder(str(folder), transforms.Compose(chain))
    loader = torch.utils.data.DataLoader(images, batch_size=64, num_workers=num_workers)
    return sum(len(labels) for _, labels in loader)


def compare(files: Sequence[Path], side: int) -> dict[str, float]:
    """Return by how many levels bakeoff's pixels differ from those of a JPEG that is decoded in full."""
    from bakeoff.data.pictures import read_picture

    found = []
    for path in files:
        with Image.open(path) as image:
            full = np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)).astype(int)
        found.append(np.abs(read_picture(str(path), (side, side)).pixels_HWC - full))
    levels = np.stack(found)
    return {"mean": float(levels.mean()), "p99": float(np.percentile(levels, 99)), "max": float(levels.max())}


def summarize(samples: dict[str, dict[str, list[dict[str, float]]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the medians of time passed and processor time."""
    return {
        case: {
            name: {kind: statistics.median(each[kind] for each in taken) for kind in ("passed", "processor")}
            for name, taken in ways.items()
        }
        for case, ways in samples.items()
    }


def print_table(medians: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
    """Print milliseconds per image."""
    for case, ways in medians.items():
        print(f"{case:28} {'processor':>10} {'passed':>8} ms per image")
        for name, taken in ways.items():
            print(f"  {name:38} {taken['processor']:8.2f} {taken['passed']:8.2f}")
    print(f"samples: {path}")


if __name__ == "__main__":
    main()
