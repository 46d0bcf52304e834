"""A policy that plays MiniWoB++ by script: an existence proof for the driver, and demonstrations to learn from."""

from collections.abc import Sequence

from turnsmith.agents.base import Context
from turnsmith.agents.grammar import render
from turnsmith.envs.browser.observe import ObservationConfig
from turnsmith.errors import UserError
from turnsmith.trace.types import Action
from turnsmith.worlds.miniwob.scene import WAIT, Scene, Stuck
from turnsmith.worlds.miniwob.solvers import SOLVERS

OBSERVATION = ObservationConfig(tree="viewport")
"""What the scripts read."""


class ScriptedMiniWob:
    """Implements `agents.base.Policy` for the pages that `solvers.SOLVERS` names."""

    version = "miniwob-script"

    async def act(self, contexts: Sequence[Context]) -> list[Action]:
        """The next call of each page's script; a script that is stuck waits.

        Raises:
            UserError: if there is no script for a page.
        """
        return [_act(context) for context in contexts]

    async def log_prob(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """A script samples no tokens: one empty list a step."""
        return [[] for _ in steps]


def _act(context: Context) -> Action:
    page = context.task.params.get("page")
    solver = SOLVERS.get(str(page))
    if solver is None:
        raise UserError(f"task {context.task.id}: no script plays {page!r}. Pages with one: {', '.join(SOLVERS)}.")
    try:
        call, thought = solver(Scene.of(context)), ""
    except (Stuck, LookupError) as trouble:
        call, thought = WAIT, f"Thought: {trouble}\n"
    return Action(thought + render(call), call)
