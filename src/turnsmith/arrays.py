"""Reading npz files from outside: each way in which one can be damaged, or unpack to more than memory, is one line."""

import zipfile
from pathlib import Path

import numpy as np

from turnsmith.errors import UserError

_ALWAYS = 1 << 26
"""Bytes that a member may unpack to however well it is packed: labels are often all alike."""
_TIGHTEST = 100
"""How many times as large a larger member may become: measured numbers do not come near it."""


def refuse_bombs(archive: zipfile.ZipFile) -> None:
    """Check, before anything is unpacked, that no member becomes a hundred times as large as it lies on disk.

    Raises:
        ValueError: if one does.
    """
    for member in archive.infolist():
        if member.file_size > max(_ALWAYS, _TIGHTEST * member.compress_size):
            raise ValueError(
                f"{member.filename} would unpack {member.compress_size:,} bytes to {member.file_size:,}, which no "
                "measured data does"
            )


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of an npz file by name, without pickles.

    Raises:
        UserError: if it is no such file, is damaged, or would unpack without measure.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            refuse_bombs(archive)
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # zipfile, zlib, struct and numpy each raise kinds of their own on damage
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: cannot be read as an npz file ({line}).") from error
