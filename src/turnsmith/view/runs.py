"""Which runs the viewer shows: those that were named, or all below a folder, new ones as they appear."""

import threading
from pathlib import Path

from turnsmith.errors import UserError
from turnsmith.view.folder import is_run
from turnsmith.view.run import Run


class Runs:
    """Runs by name. A name from a request is only ever looked up here; no path is ever made of it."""

    def __init__(self, root: Path | None, folders: list[Path]) -> None:
        """Show the runs directly below `root` (with None: none), and these folders."""
        self.root = root
        self._folders = folders
        self._open: dict[str, Run] = {}
        self._lock = threading.Lock()

    def all(self) -> dict[str, Run]:
        """All runs that are there now, by name."""
        with self._lock:
            found = self._find()
            for name in [name for name, run in self._open.items() if name not in found or run.is_stale()]:
                self._open.pop(name).close()
            for name, path in found.items():
                if name not in self._open:
                    self._open[name] = Run(path, name)
            return dict(self._open)

    def get(self, name: str) -> Run | None:
        """One run, or None."""
        return self.all().get(name)

    def close(self) -> None:
        """Close all databases."""
        with self._lock:
            for run in self._open.values():
                run.close()
            self._open.clear()

    def _find(self) -> dict[str, Path]:
        folders = list(self._folders)
        if self.root is not None and self.root.is_dir():
            folders += sorted(path for path in self.root.iterdir() if is_run(path))
        names: dict[str, Path] = {}
        for path in folders:
            name = path.resolve().name
            if name in names and names[name].resolve() != path.resolve():
                name = f"{path.resolve().parent.name}/{name}"
            names.setdefault(name, path)
        return names


def runs_to_show(names: list[str], root: Path = Path("runs")) -> Runs:
    """The runs that a person means: folders, `run.db` files, or names below `root`; without any, all below `root`.

    Raises:
        UserError: if one of them is not a run.
    """
    if not names:
        return Runs(root, [])
    folders = []
    for name in names:
        given = Path(name)
        candidates = [given.parent] if given.name == "run.db" and given.is_file() else [given, root / name]
        found = next((path for path in candidates if is_run(path)), None)
        if found is None and given.is_dir() and any(is_run(path) for path in given.iterdir()):
            folders += sorted(path for path in given.iterdir() if is_run(path))
            continue
        if found is None:
            known = sorted(path.name for path in root.iterdir() if is_run(path)) if root.is_dir() else []
            here = f"Runs here: {', '.join(known)}." if known else f"There are no runs in {root}/."
            raise UserError(f"{name}: there is no run of this name. {here}")
        folders.append(found)
    return Runs(None, folders)
