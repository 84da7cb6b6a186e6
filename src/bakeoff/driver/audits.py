"""Audits the images of a study before its training, and stores what was found in the workspace."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bakeoff.data.audit.findings import DUPLICATES, MOST_STORED, Finding, count_findings
from bakeoff.data.audit.signatures import save_signatures
from bakeoff.data.audited import AuditedSource, audit_source, sign_opened
from bakeoff.data.files import list_whole
from bakeoff.data.source import DataSource
from bakeoff.data.store import find_decoded
from bakeoff.driver.facts import Datasets, ImageFacts, list_sources
from bakeoff.study.plan import Block
from bakeoff.workspace import Folders, write_whole

MOST_PAIRS = 12
"""Pairs of duplicates whose pictures are stored for reports."""

PICTURE_SIDE = 96

Audits = Mapping[DataSource, AuditedSource]


def audit_blocks(blocks: Iterable[Block], data_dir: Path | None, say: Callable[[str], None]) -> Audits:
    """Audit every source of the blocks, unless this content has been audited on this machine.

    Raises:
        DataError: not found, or a policy on duplicates refuses the images.
    """
    listed = tuple(blocks)
    in_folds = {block.data.source for block in listed if block.data.folds is not None}
    return {
        source: audit_source(source, data_dir, say, has_folds=source in in_folds) for source in list_sources(listed)
    }


def add_audits(datasets: Datasets, audits: Audits) -> dict[DataSource, ImageFacts]:
    """Return the facts with the notes and headlines of the audits."""
    return {
        source: replace(facts, notes=(*facts.notes, *audits[source].notes), audit=audits[source].headline)
        for source, facts in datasets.items()
    }


def keep_audits(audits: Audits, datasets: Datasets, folders: Folders, data_dir: Path | None) -> None:
    """Store findings, example pictures and the signatures of the training images, by the images' fingerprints.

    Raises:
        StorageError: the workspace cannot be written.
    """
    for source, audited in audits.items():
        fingerprint = datasets[source].fingerprint
        if not folders.signatures(fingerprint).exists():
            _keep_signatures(source, folders, data_dir)
        pairs = _choose_pairs(audited.findings)
        pictures = folders.audit_pictures(fingerprint)
        shown = pairs if pictures.exists() else _keep_pictures(pictures, source, audited, pairs, data_dir)
        content = json.dumps(_dump(source, audited, shown), indent=1)
        write_whole(folders.audit(fingerprint), lambda path, text=content: path.write_text(text, encoding="utf-8"))  # type: ignore[misc]


def _keep_signatures(source: DataSource, folders: Folders, data_dir: Path | None) -> None:
    images = find_decoded(source, "train", data_dir)
    if images is not None:
        signatures = sign_opened(source, images, data_dir)
        write_whole(folders.signatures(images.fingerprint), lambda path: save_signatures(path, signatures))


def _dump(source: DataSource, audited: AuditedSource, shown: list[Finding]) -> dict[str, object]:
    return {
        "source": source.label,
        "policy": source.policy,
        "num_images": len(audited.audit.names),
        "counts": count_findings(audited.findings),
        "notes": list(audited.notes),
        "findings": [finding.dump() for finding in audited.findings[:MOST_STORED]],
        "pictures": [[*finding.images[:2], _name_change(finding)] for finding in shown],
    }


def _name_change(finding: Finding) -> str:
    return finding.detail or "equal"


def _choose_pairs(findings: Iterable[Finding]) -> list[Finding]:
    """Return a few sets of duplicates, of every kind and change some."""
    chosen: dict[tuple[str, str, bool], list[Finding]] = {}
    for finding in findings:
        if finding.kind in DUPLICATES:
            members = chosen.setdefault((finding.kind, finding.detail, finding.is_across), [])
            if len(members) < MOST_PAIRS:
                members.append(finding)
    turns = [[members[turn] for members in chosen.values() if turn < len(members)] for turn in range(MOST_PAIRS)]
    return [finding for turn in turns for finding in turn][:MOST_PAIRS]


def _keep_pictures(
    path: Path, source: DataSource, audited: AuditedSource, pairs: list[Finding], data_dir: Path | None
) -> list[Finding]:
    """Store the pictures of pairs [2 x pairs, H, W, 3]; return the pairs shown."""
    numbers = [number for finding in pairs for number in finding.numbers[:2]]
    pixels = _read_pictures(source, audited, numbers, data_dir) if numbers else None
    if pixels is None:
        return []

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, pixels=pixels)

    write_whole(path, write)
    return pairs


def _read_pictures(
    source: DataSource, audited: AuditedSource, numbers: list[int], data_dir: Path | None
) -> npt.NDArray[np.uint8] | None:
    from bakeoff.data.pictures import PictureError, read_picture

    names = [audited.audit.names[number] for number in numbers]
    if source.registered is None:
        paths = {file.shown: file.path for file in list_whole(source, data_dir).files}
        size = (PICTURE_SIDE, PICTURE_SIDE)
        if (
            audited.audit.sizes[:, :2].max(initial=0) <= PICTURE_SIDE
            and len(np.unique(audited.audit.sizes, axis=0)) == 1
        ):
            size = (int(audited.audit.sizes[0, 0]), int(audited.audit.sizes[0, 1]))
        try:
            return np.stack([read_picture(paths[name], size, "rgb").pixels_HWC for name in names])
        except (PictureError, KeyError):
            return None
    whole = DataSource(name=source.name)
    splits = {split: find_decoded(whole, split, data_dir) for split in ("train", "test")}
    pictures = []
    for name in names:
        split, _, number = name.partition(" image ")
        images = splits.get(split)
        if images is None:
            return None
        pictures.append(np.broadcast_to(images.pixels[int(number)], (*images.shape_HWC[:2], 3)))
    return np.stack(pictures)
