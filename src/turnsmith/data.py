"""Where real data sets are looked for. None of them is part of the package; without them, callers skip and say so."""

import os
from pathlib import Path


def data_root() -> Path | None:
    """The folder of real data: `$TURNSMITH_DATA`, else `../shared/data` beside the checkout; None without either."""
    named = os.environ.get("TURNSMITH_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "data"
    return folder if folder.is_dir() else None


def data_file(relative: str) -> Path | None:
    """The path of one data file or folder below `data_root()`, or None where it is absent."""
    root = data_root()
    return root / relative if root is not None and (root / relative).exists() else None
