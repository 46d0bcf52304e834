"""What is wrong with an EDF or BDF file, said before a reader makes numbers of it.

Most readers open files that are cut short, that went through a line-ending conversion, that are BDF in a file called
.edf, or that have gaps (EDF+D), and give garbage or samples at other times than the marks say.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from turnsmith.errors import UserError

_ONSET = re.compile(rb"([+-]\d+(?:\.\d+)?)\x14\x14\x00")
_LATE = 1e-3
"""Seconds by which a record may begin elsewhere than right after the one before."""


@dataclass(frozen=True, slots=True)
class _Header:
    """The fields of an EDF header that say how the file is cut."""

    header_bytes: int
    records: int
    seconds: float
    samples: tuple[int, ...]
    labels: tuple[str, ...]
    reserved: str
    width: int

    @property
    def record_bytes(self) -> int:
        return sum(self.samples) * self.width


def check_edf(path: Path) -> None:
    """Refuse an EDF or BDF file that does not hold what its header and its name say, or that has gaps.

    Raises:
        UserError: with the likely cause and the fix.
    """
    header = _read_header(path)
    named_bdf = path.suffix.lower() == ".bdf"
    if named_bdf != (header.width == 3):
        holds, wanted = ("BDF (24 bits a sample)", ".bdf") if header.width == 3 else ("EDF (16 bits a sample)", ".edf")
        raise UserError(f"{path}: this is {holds} in a file called {path.suffix}. Rename it to {wanted}.")
    _check_size(path, header)
    if header.reserved.startswith(("EDF+D", "BDF+D")):
        _check_gaps(path, header)


def _read_header(path: Path) -> _Header:
    with open(path, "rb") as file:
        head = file.read(256)
        try:
            count = int(head[252:256])
            fields = file.read(256 * count) if 0 < count <= 4096 else b""
            if len(head) < 256 or len(fields) < 256 * count or not fields:
                raise ValueError(f"{count} signals")
            samples = tuple(int(fields[216 * count + 8 * i :][:8]) for i in range(count))
            labels = tuple(fields[16 * i :][:16].decode("latin-1").strip() for i in range(count))
            header = _Header(
                int(head[184:192]), int(head[236:244]), float(head[244:252]), samples, labels,
                head[192:236].decode("latin-1").strip(), 3 if head[:1] == b"\xff" else 2,
            )  # fmt: skip
        except ValueError as error:
            raise UserError(f"{path}: has no EDF header ({error}). Is it an EDF file?") from error
    if min(header.samples) < 0 or not header.record_bytes:
        raise UserError(f"{path}: its header says that a record holds no samples. Is it an EDF file?")
    return header


def _check_size(path: Path, header: _Header) -> None:
    size = path.stat().st_size
    expected = header.header_bytes + header.records * header.record_bytes
    if header.records < 0 or size == expected:
        return
    whole, rest = divmod(size - header.header_bytes, header.record_bytes)
    if not rest and whole > 0:
        raise UserError(
            f"{path}: its header says {header.records} records, and it holds {whole} whole ones. Either the recording "
            f"was not closed, and the header's count (bytes 236 to 243) should be {whole}, or the file was cut off: "
            "look at the original."
        )
    if size < expected:
        raise UserError(
            f"{path}: is {expected - size} bytes shorter than its header says; it was cut off. Fetch it again."
        )
    pairs, more = _pairs(path), f"{path}: is {size - expected} bytes longer than its header says"
    if pairs == size - expected:
        raise UserError(
            f"{more}; line endings were probably converted (LF to CRLF). Fetch it again as binary, or replace each "
            "CR LF by LF."
        )
    raise UserError(f"{more}, which are neither whole records nor converted line endings. Fetch it again as binary.")


def _pairs(path: Path) -> int:
    """How many carriage returns stand before a line feed."""
    count, last = 0, b""
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            count += (last + block).count(b"\r\n")
            last = block[-1:] if block[-1:] == b"\r" else b""
    return count


def _check_gaps(path: Path, header: _Header) -> None:
    """Refuse records that do not follow each other: samples have one rate, marks are in real time."""
    starts = _record_starts(path, header)
    gaps = np.diff(starts) - header.seconds
    late = np.flatnonzero(np.abs(gaps) > _LATE)
    if len(late):
        at = int(late[0])
        raise UserError(
            f"{path}: is discontinuous (EDF+D): {len(late)} gap(s), the first of {gaps[at]:g} s before record {at + 2} "
            f"({starts[at] + header.seconds:g} s). Split it at the gaps, or export it as contiguous EDF+C."
        )


def _record_starts(path: Path, header: _Header) -> np.ndarray:
    """When each record begins, seconds, from its first annotation (EDF+, section 2.2.4)."""
    place = next((i for i, label in enumerate(header.labels) if label.endswith("Annotations")), None)
    if place is None:
        raise UserError(f"{path}: says that it is discontinuous (EDF+D) and has no annotations that say when.")
    first, length = sum(header.samples[:place]) * header.width, header.samples[place] * header.width
    starts = []
    with open(path, "rb") as file:
        count = header.records if header.records >= 0 else (path.stat().st_size - header.header_bytes)
        count = min(count, (path.stat().st_size - header.header_bytes) // header.record_bytes)
        for record in range(count):
            file.seek(header.header_bytes + record * header.record_bytes + first)
            match = _ONSET.match(file.read(length))
            if match is None:
                raise UserError(f"{path}: record {record + 1} does not say when it begins (EDF+D). Is it damaged?")
            starts.append(float(match[1]))
    return np.array(starts)
