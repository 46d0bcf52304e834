"""Which web tasks a recipe plays: those of the local sites, or those of a file of the user's, wherever they are."""

import random
from collections.abc import Sequence
from typing import Protocol

from turnsmith.envs.browser import OpenWeb, SiteHost
from turnsmith.errors import UserError
from turnsmith.judges.webarena.host import WebArenaHost
from turnsmith.recipes.shared.web_config import WebConfig
from turnsmith.tasks.files import load_tasks
from turnsmith.trace.types import Task
from turnsmith.worlds.sites.server import LocalSites
from turnsmith.worlds.sites.tasks import generate


class WebTasks(Protocol):
    """Tasks by split, and who serves their pages."""

    def draw(self, split: str, count: int, seed: int) -> list[Task]:
        """Tasks of a split; the same seed draws the same ones, and fewer are the first of more."""
        ...

    def host(self) -> SiteHost:
        """Who serves the pages."""
        ...

    def check_demonstrations(self, count: int) -> None:
        """Whether scripted demonstrations can be had of these tasks.

        Raises:
            UserError: if not, and some are wanted.
        """
        ...


class LocalTasks:
    """Tasks of the local sites, no two alike.

    Args:
        sites: which.
        templates: only these; None for all.
        long: hunts of 6 to 20 steps instead (`worlds.sites.hunt`).
    """

    def __init__(self, sites: Sequence[str], templates: Sequence[str] | None = None, *, long: bool = False) -> None:
        self._sites, self._templates, self._long = tuple(sites), templates, long

    def draw(self, split: str, count: int, seed: int) -> list[Task]:
        """See `WebTasks`."""
        return generate(self._sites, split, count, seed, self._templates, long=self._long)

    def host(self) -> SiteHost:
        """The local server."""
        return LocalSites()

    def check_demonstrations(self, count: int) -> None:
        """Scripts know these sites."""


class FileTasks:
    """Tasks of a file (docs/tasks.md): its split "train" is trained on, its split "test" is the test.

    Training plays them again and again, in an order that the seed shuffles anew each time.

    Raises:
        UserError: if the file cannot be read.
    """

    def __init__(self, path: str) -> None:
        self._path, self.tasks = path, load_tasks(path)

    def draw(self, split: str, count: int, seed: int) -> list[Task]:
        """See `WebTasks`.

        Raises:
            UserError: if the file has no task of this split.
        """
        mine = [task for task in self.tasks if task.split == split]
        if not mine:
            raise UserError(f'{self._path}: no task has the split "{split}"; training and test need some each.')
        if split == "test":
            return mine[:count]
        rounds = [random.Random(f"{seed}/{turn}").sample(mine, len(mine)) for turn in range(-(-count // len(mine)))]
        return [task for turn in rounds for task in turn][:count]

    def host(self) -> SiteHost:
        """The local sites for their own tasks, WebArena's host for its tasks, else the web as it is."""
        if self._local():
            return LocalSites()
        return WebArenaHost() if all("eval" in task.hidden for task in self.tasks) else OpenWeb()

    def check_demonstrations(self, count: int) -> None:
        """See `WebTasks`."""
        if count and not self._local():
            raise UserError(
                f"{self._path}: scripted demonstrations are of the local sites alone. "
                "Start with a model that can act, and with --demonstrations.count 0."
            )

    def _local(self) -> bool:
        return all("site" in task.params and "world" in task.params for task in self.tasks)


def task_source(path: str, config: WebConfig, *, long: bool = False) -> WebTasks:
    """The tasks of a file, or without one the local sites' that the settings name."""
    return FileTasks(path) if path else LocalTasks(config.sites, config.templates, long=long)
