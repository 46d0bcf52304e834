"""One session: an episode at a time, in a context of its own."""

from typing import TYPE_CHECKING, Any

from turnsmith.envs.base import Step
from turnsmith.envs.browser.actions import Actor
from turnsmith.envs.browser.faults import StepError
from turnsmith.envs.browser.host import Noting, Prepared, SiteHost, Visit
from turnsmith.envs.browser.observe import ObservationConfig, observe
from turnsmith.envs.browser.tab import Tab
from turnsmith.envs.browser.tree import raw_page
from turnsmith.errors import InfraError, UserError
from turnsmith.trace.types import Action, Observation, Task, Verdict

if TYPE_CHECKING:
    from turnsmith.envs.browser.pool import BrowserPool


class BrowserSession:
    """Plays episodes at the pages of a host. `envs.base.Session` is the contract."""

    def __init__(
        self, pool: "BrowserPool", host: SiteHost, observation: ObservationConfig, search_url: str | None
    ) -> None:
        self._pool = pool
        self._host = host
        self._observation = observation
        self._search_url = search_url
        self._visit: Visit | None = None
        self._tab: Tab | None = None
        self._actor: Actor | None = None
        self._answer: str | None = None
        self._broken: InfraError | None = None

    @property
    def tab(self) -> Tab:
        """The page of the present episode.

        Raises:
            RuntimeError: before any episode.
        """
        if self._tab is None:
            raise RuntimeError("the session has no episode: call reset first")
        return self._tab

    async def reset(self, task: Task, seed: int) -> Observation:
        """Start an episode in a fresh context.

        Raises:
            UserError: if the task's params are not what the host needs, or its first page is outside the allow-list.
            InfraError: as in the table of `faults`.
        """
        await self.close()
        self._answer = None
        self._broken = None
        try:
            self._visit = visit = await self._host.visit(task, seed)
            self._tab = tab = await self._pool.tab(frozenset(visit.hosts))
            self._actor = Actor(tab, self._search_url)
            observation = await tab.guard(self._arrive(tab, visit, task))
        except InfraError as error:
            self._broken = error
            raise
        self._pool.prepare(frozenset(visit.hosts))
        return observation

    async def _arrive(self, tab: Tab, visit: Visit, task: Task) -> Observation:
        if not tab.wall.allows(visit.start_url):
            raise UserError(f"task {task.id}: the first page {visit.start_url} is not at one of its allowed hosts.")
        if isinstance(visit, Prepared):
            try:
                await visit.prepare(tab.context)
            except UserError as error:
                raise UserError(f"task {task.id}: {error}") from error
        if visit.cookies:
            await tab.context.add_cookies([dict(cookie) for cookie in visit.cookies])  # type: ignore[arg-type]
        try:
            await tab.goto(visit.start_url)
        except StepError as error:
            raise InfraError("start_failed", f"task {task.id}: {error}") from error
        await visit.ready(tab.page)
        return await self._look("")

    async def step(self, action: Action) -> Step:
        """Execute one parsed action and observe again.

        Raises:
            InfraError: as in the table of `faults`; the session must be reset before it is used again.
        """
        if self._broken is not None:
            raise self._broken
        if self._tab is None:
            raise RuntimeError("the session has no episode: call reset first")
        try:
            return await self._tab.guard(self._step(self._tab, action))
        except InfraError as error:
            self._broken = error
            raise

    async def _step(self, tab: Tab, action: Action) -> Step:
        assert self._actor is not None
        assert self._visit is not None
        blocked = len(tab.wall.blocked)
        info: dict[str, Any] = {}
        if action.call is None:
            error = action.error or "The action is not in the grammar; nothing was done."
        else:
            info, error = await self._actor.execute(action.call)
        done = action.call is not None and action.call.name == "answer"
        if done and action.call is not None:
            self._answer = str(action.call.arguments.get("text", ""))
        reward, over = await self._visit.after_step(tab.page)
        if isinstance(self._visit, Noting):
            tab.notes += self._visit.notes()
        observation = await self._look(error)
        info["blocked"] = len(tab.wall.blocked) - blocked
        return Step(observation, reward, done or over, info)

    async def _look(self, error: str) -> Observation:
        assert self._tab is not None
        assert self._actor is not None
        observation, self._actor.nodes = await observe(self._tab, self._observation)
        self._actor.count = len(observation.info["elements"])
        if not error:
            return observation
        return Observation(observation.text, observation.images, error, observation.info)

    async def snapshots(self) -> tuple[dict[str, Any], dict[str, Any], int | None]:
        """The page as the browser's protocol has it: DOM snapshot, accessibility tree, and the focused mark.

        Nodes of both that have a mark carry it as `browsergym_id` (the accessibility tree's; BrowserGym's form).

        Raises:
            InfraError: as in the table of `faults`.
        """
        if self._tab is None or self._actor is None:
            raise RuntimeError("the session has no episode: call reset first")
        return await self._tab.guard(raw_page(self._tab, self._actor.count))

    async def grade(self) -> Verdict | None:
        """The host's oracle about the episode so far; None where the task has none, or before any episode."""
        if self._visit is None or self._tab is None:
            return None
        return await self._tab.guard(self._visit.grade(self._tab.page, self._answer))

    async def close(self) -> None:
        """End the episode and give back what it held."""
        visit, tab = self._visit, self._tab
        self._visit = self._tab = self._actor = None
        try:
            if visit is not None:
                await visit.close()
        finally:
            if tab is not None:
                self._pool.retire(tab)
