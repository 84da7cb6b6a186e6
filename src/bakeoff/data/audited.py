"""The audit of any source, with what its policy on duplicates did, in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bakeoff.data.audit.audits import Audit, Say, select_classes, select_images
from bakeoff.data.audit.findings import DUPLICATES, Finding, describe_findings, list_findings
from bakeoff.data.audit.policy import decide
from bakeoff.data.audit.signatures import Signatures, sign_images
from bakeoff.data.cache import Images
from bakeoff.data.files import audit_files, list_source, list_whole, obtain_files
from bakeoff.data.source import DataSource, show_text
from bakeoff.data.store import audit_dataset


@dataclass(frozen=True, kw_only=True)
class AuditedSource:
    """A source's audit and its consequences.

    Attributes:
        audit: of the images of the classes that are used, in the splits as the source gives them.
        findings: what it found.
        notes: about what the policy leaves as it is, one sentence each; what it changed is among the notes of the
            images.
        headline: a sentence on what must be known about any score; else empty.
    """

    audit: Audit
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    headline: str


def find_findings(source: DataSource, data_dir: Path | None = None, say: Say | None = None) -> AuditedSource:
    """Audit a source without applying its policy on duplicates.

    Raises:
        DataError: not found, or its images do not form a classification task.
    """
    audit = select_classes(_audit(source, data_dir, say), source.classes)
    findings = list_findings(audit)
    return AuditedSource(audit=audit, findings=findings, notes=describe_findings(findings), headline="")


def audit_source(
    source: DataSource, data_dir: Path | None = None, say: Say | None = None, *, has_folds: bool = False
) -> AuditedSource:
    """Audit a source, once for every content, and say what is done about what it finds.

    Args:
        source: of any kind.
        data_dir: a folder to search first.
        say: reports the progress with many images.
        has_folds: whether training images are held out in folds, on which verdicts rest.

    Raises:
        DataError: as in `find_findings`, or its policy refuses the images.
    """
    found = find_findings(source, data_dir, say)
    if source.policy == "allow":
        headline = "" if source.duplicates is None else _warn_of_copies(source, data_dir, found.audit, has_folds)
        return replace(found, headline=headline)
    decision = decide(found.audit, source.policy)
    settled = ("same file", "equal", "near")
    notes = describe_findings([each for each in found.findings if each.kind not in settled])
    headline = f"{source.label}: {decision.headline}." if decision.headline else ""
    return replace(found, notes=notes, headline=headline)


def _audit(source: DataSource, data_dir: Path | None, say: Say | None) -> Audit:
    if source.registered is not None:
        return audit_dataset(source.registered, data_dir, say)
    obtain_files(source, data_dir)
    audit = audit_files(list_whole(source, data_dir), say=say)
    assert audit is not None, "files that may be read are audited"
    return audit


def _warn_of_copies(source: DataSource, data_dir: Path | None, audit: Audit, has_folds: bool) -> str:
    """Say how many test images are duplicates of training images, in the splits as they are used.

    With folds, any pair of training images may be on two sides.
    """
    if source.registered is None:
        parts = {file.shown: file.part for file in list_source(source, data_dir).files}
        numbers = np.array([n for n, name in enumerate(audit.names) if name in parts], dtype=np.int64)
        audit = select_images(audit, numbers)
        audit = replace(audit, parts=tuple(parts[name] for name in audit.names))
    findings = [each for each in list_findings(audit) if each.kind in DUPLICATES]
    copied = {n for each in findings if each.is_across for n in each.numbers if audit.parts[n] == "test"}
    num_test = audit.parts.count("test")
    sentences = []
    if copied:
        sentences.append(
            f"{len(copied):,} of {num_test:,} test images are duplicates of training or validation images "
            f"(duplicates: allow), so scores on the test split say less about new images."
        )
    learnt = [[n for n in each.numbers if audit.parts[n] != "test"] for each in findings] if has_folds else []
    repeated = {n for numbers in learnt if len(numbers) > 1 for n in numbers}
    if repeated:
        sentences.append(
            f"{len(repeated):,} of {len(audit.parts) - num_test:,} training images have duplicates among them "
            f"(duplicates: allow), which folds separate, so scores on held-out folds say less about new images."
        )
    return f"{show_text(source.label)}: {' '.join(sentences)}" if sentences else ""


def sign_opened(source: DataSource, images: Images, data_dir: Path | None = None) -> Signatures:
    """Return the signatures of one split's images, in their order: of their files, or if need be as decoded.

    Args:
        source: as opened.
        images: its training or its test images.
        data_dir: a folder to search first.
    """
    audit = None if source.registered is not None or images.files is None else audit_files(list_whole(source, data_dir))
    signatures = None if audit is None else audit.load_signatures()
    if audit is None or signatures is None or images.files is None or len(signatures) != len(audit.names):
        return sign_images(np.asarray(images.pixels))
    numbers = {name: number for number, name in enumerate(audit.names)}
    if not all(name in numbers for name in images.files):
        return sign_images(np.asarray(images.pixels))
    return signatures.take([numbers[name] for name in images.files])
