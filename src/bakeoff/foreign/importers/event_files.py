"""Reads TensorBoard's event files: scalars and hyperparameters, nothing else.

A file is a sequence of TFRecords, each an `Event` in protocol buffers' wire format. Field numbers are those of
`event.proto`, `summary.proto` and `tensor.proto` of TensorFlow and of `api.proto` of TensorBoard's plugin for
hyperparameters. The `tensorboard` package reads the same, but is large; tests compare with it.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from bakeoff.foreign.epochs import Curve
from bakeoff.foreign.reading import DamagedError
from bakeoff.foreign.table import Value

MAX_RECORD_BYTES = 2**25
"""Larger records, images and videos, are passed over."""

_CHECKED_BYTES = 4_096
"""Checksums of larger records, images and graphs, are not verified: in Python that takes long."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SESSION_START = b"_hparams_/session_start_info"


class Field(NamedTuple):
    """One field of a message: a number for varints, else its bytes."""

    number: int
    wire: int
    value: int | memoryview


@dataclass
class Events:
    """What the event files of one folder say.

    Attributes:
        curves: scalars by tag and step.
        settings: hyperparameters.
    """

    curves: dict[str, Curve] = field(default_factory=dict)
    settings: dict[str, Value] = field(default_factory=dict)


def read_events(path: Path, events: Events) -> None:
    """Add the scalars and hyperparameters in an event file.

    A step that comes again replaces the earlier one, as in TensorBoard.

    Raises:
        DamagedError: a record is cut off, or its checksum is wrong.
    """
    try:
        with path.open("rb") as file:
            for record in _read_records(file, path.stat().st_size):
                _add_event(record, events)
    except OSError as error:
        raise DamagedError(f"cannot be opened: {error.strerror}") from error
    except (struct.error, IndexError, ValueError) as error:
        raise DamagedError("is damaged: a record is no event") from error


def _read_records(file: BinaryIO, size: int) -> Iterator[memoryview]:
    while header := file.read(12):
        if len(header) < 12:
            raise DamagedError("is cut off in its last record")
        length, checksum = struct.unpack("<QI", header)
        if mask_crc(header[:8]) != checksum:
            raise DamagedError("is damaged: a checksum is wrong")
        if file.tell() + length + 4 > size:
            raise DamagedError("is cut off in its last record")
        if length > MAX_RECORD_BYTES:
            file.seek(length + 4, os.SEEK_CUR)
            continue
        data = file.read(length)
        footer = file.read(4)
        if length <= _CHECKED_BYTES and mask_crc(data) != struct.unpack("<I", footer)[0]:
            raise DamagedError("is damaged: a checksum is wrong")
        yield memoryview(data)


def _make_crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_CRC_TABLE = _make_crc_table()


def mask_crc(data: bytes) -> int:
    """Return the masked CRC-32C of a TFRecord's length or data."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a varint of more than 64 bits")


def _read_fields(data: memoryview) -> Iterator[Field]:
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _read_varint(data, at)
            yield Field(number, wire, value)
            continue
        if wire == _BYTES:
            length, at = _read_varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"unknown wire type {wire}")
        if at + length > len(data):
            raise ValueError("a field is cut off")
        yield Field(number, wire, data[at : at + length])
        at += length


def _read_messages(data: memoryview) -> dict[int, memoryview]:
    """Return the last value of each field that is bytes, text or a message."""
    return {number: value for number, _, value in _read_fields(data) if isinstance(value, memoryview)}


def _add_event(record: memoryview, events: Events) -> None:
    step = 0
    summaries = []
    for number, wire, value in _read_fields(record):
        if number == 2 and isinstance(value, int):
            step = value - 2**64 if value >= 2**63 else value
        elif number == 5 and wire == _BYTES and isinstance(value, memoryview):
            summaries.append(value)
    for summary in summaries:
        for number, _, value in _read_fields(summary):
            if number == 1 and isinstance(value, memoryview):
                _add_value(_read_messages(value), step, events)


def _add_value(value: Mapping[int, memoryview], step: int, events: Events) -> None:
    tag = bytes(value.get(1, b""))
    if tag == _SESSION_START:
        events.settings.update(_read_settings(value))
        return
    score = struct.unpack("<f", value[2])[0] if 2 in value else _read_scalar(value[8]) if 8 in value else None
    if score is not None:
        curve = events.curves.setdefault(tag.decode("utf-8", errors="replace"), {})
        curve.pop(step, None)
        curve[step] = score


# Of a TensorProto: the NumPy type of each dtype, and of each field of values.
_DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}
_VALUES = {5: "<f4", 6: "<f8"}
_INTEGERS = (7, 10)


def _read_scalar(tensor: memoryview) -> float | None:
    """Return the number in a tensor without dimensions; None for any other tensor."""
    dtype = 0
    found: float | None = None
    for number, _, value in _read_fields(tensor):
        if number == 1 and isinstance(value, int):
            dtype = value
        elif number == 2 and isinstance(value, memoryview) and len(value):
            return None
        elif number == 4 and isinstance(value, memoryview) and dtype in _DTYPES:
            numbers = np.frombuffer(value, _DTYPES[dtype])
            found = float(numbers[0]) if len(numbers) == 1 else None
        elif number in _VALUES and isinstance(value, memoryview):
            found = float(np.frombuffer(value, _VALUES[number])[0])
        elif number in _INTEGERS:
            packed = value if isinstance(value, int) else _read_varint(value, 0)[0]
            found = float(packed - 2**64 if packed >= 2**63 else packed)
    return found


def _read_settings(value: Mapping[int, memoryview]) -> dict[str, Value]:
    """Return the hyperparameters in the metadata of a session's start."""
    plugin = _read_messages(_read_messages(value.get(9, memoryview(b""))).get(1, memoryview(b"")))
    start = _read_messages(plugin.get(2, memoryview(b""))).get(3, memoryview(b""))
    settings: dict[str, Value] = {}
    for number, _, entry in _read_fields(start):
        if number == 1 and isinstance(entry, memoryview):
            pair = _read_messages(entry)
            settings[bytes(pair.get(1, b"")).decode("utf-8", errors="replace")] = _read_setting(pair.get(2))
    return settings


def _read_setting(value: memoryview | None) -> Value:
    """Return a `google.protobuf.Value`: a number, a text or a truth value."""
    for number, _, content in _read_fields(value if value is not None else memoryview(b"")):
        if number == 2 and isinstance(content, memoryview):
            (found,) = struct.unpack("<d", content)
            return int(found) if math.isfinite(found) and found.is_integer() else float(found)
        if number == 3 and isinstance(content, memoryview):
            return bytes(content).decode("utf-8", errors="replace")
        if number == 4:
            return bool(content)
    return None
