"""WebArena's tasks as episodes: the sites are yours, the login comes from the configuration, the oracle is WebArena's.

    tasks = load_webarena("test.raw.json")      # addresses from SHOPPING, REDDIT, …
    async with BrowserEnvironment(WebArenaHost(), observation=ObservationConfig(tree="viewport")) as environment: …

WebArena's own viewport is 1280x720. A task that begins with several tabs begins at the first of them here, since a
session has one tab. Putting the sites back between episodes is their owner's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from turnsmith.envs.browser.host import OpenVisit, OpenWeb
from turnsmith.errors import UserError
from turnsmith.judges.webarena.fuzzy import FuzzyJudge
from turnsmith.judges.webarena.programs import Programs
from turnsmith.judges.webarena.score import Ending, score
from turnsmith.tasks.webarena import Evaluation, read_evaluation
from turnsmith.trace.types import ORACLE, Task, Verdict

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

VIEWPORT = (1280, 720)


class WebArenaHost(OpenWeb):
    """Serves tasks of `tasks.files.load_webarena`, and those of PAE that carry a WebArena `eval`.

    Args:
        fuzzy: decides where wording matters; None leaves such episodes without a verdict.
        programs: the benchmark's own programs; addresses from the environment without.
        viewport: in CSS pixels.
    """

    def __init__(
        self,
        fuzzy: FuzzyJudge | None = None,
        programs: Programs | None = None,
        viewport: tuple[int, int] = VIEWPORT,
    ) -> None:
        super().__init__(viewport)
        self.fuzzy = fuzzy
        self.programs = programs or Programs()

    async def visit(self, task: Task, seed: int) -> "WebArenaVisit":
        """An episode with the task's evaluation.

        Raises:
            UserError: if the task's params or its evaluation are not what WebArena has.
        """
        try:
            evaluation = read_evaluation(task.hidden.get("eval"))
        except ValueError as error:
            raise UserError(f"task {task.id}: {error}.") from error
        return WebArenaVisit(self, await super().visit(task, seed), task.instruction, evaluation)


@dataclass(frozen=True, slots=True)
class WebArenaVisit:
    """One episode: an open visit with WebArena's oracle."""

    host: WebArenaHost
    open: OpenVisit
    intent: str
    evaluation: Evaluation

    @property
    def start_url(self) -> str:
        """The first page."""
        return self.open.start_url

    @property
    def hosts(self) -> frozenset[str]:
        """Where requests may go."""
        return self.open.hosts

    @property
    def cookies(self) -> tuple[Mapping[str, Any], ...]:
        """Set before the first page."""
        return tuple(self.open.cookies)

    async def prepare(self, context: "BrowserContext") -> None:
        """Stored login and place on earth."""
        await self.open.prepare(context)

    async def ready(self, page: "Page") -> None:
        """Nothing to start."""

    async def after_step(self, page: "Page") -> tuple[float, bool]:
        """Graded once, at the end."""
        return 0.0, False

    async def grade(self, page: "Page", answer: str | None) -> Verdict | None:
        """WebArena's score; None where a fuzzy judge would have to decide and there is none.

        The page may be navigated: the episode is over.
        """
        programs = self.host.programs
        found = await score(self.evaluation, self.intent, Ending(answer, page.url, page), self.host.fuzzy, programs)
        return None if found.value is None else Verdict(ORACLE, float(found.value), found.reason)

    async def close(self) -> None:
        """Nothing is held."""
