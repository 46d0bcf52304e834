"""Looking around a site: a policy that clicks where it has not been, so that a proposer has something to read.

This is what "from the site's name alone" comes to for a proposer that, unlike a large model, has never heard of any
site. It acts through the same sessions as every other policy, so its episodes are traces like all others: stored,
resumable, and to be looked at in the viewer.
"""

import random
from collections.abc import Mapping, Sequence

from turnsmith.agents.base import Context
from turnsmith.agents.grammar import render
from turnsmith.errors import UserError
from turnsmith.tasks.propose.sketch import Sketch, head
from turnsmith.trace.types import Action, Call, Task, Turn


class Explorer:
    """Walks by chance, new links first; now and then opens a menu, presses a button, searches a word, scrolls.

    It never answers: its episodes end at the horizon.

    Args:
        buttons: the probability of pressing a button or opening a menu instead of following a link.
        search: the probability of searching for a name that stands on the page, where there is a search field.
    """

    def __init__(self, buttons: float = 0.15, search: float = 0.08) -> None:
        self.buttons = buttons
        self.search = search
        self.version = f"explorer-{buttons:g}-{search:g}"

    async def act(self, contexts: Sequence[Context]) -> list[Action]:
        """One step a context, decided by its seed and what was seen before."""
        return [self._act(context) for context in contexts]

    def _act(self, context: Context) -> Action:
        rng = random.Random(context.seed)
        page = Sketch.of(context.observation)
        before = {(address, text) for address, text in map(_done, context.turns) if text}
        links = [text for text in dict.fromkeys(page.links) if (page.path, text) not in before]
        fresh = [text for text in links if text not in {head(str(_title(turn))) for turn in context.turns}]
        buttons = [text for text in dict.fromkeys(page.buttons) if (page.path, text) not in before]
        chance = rng.random()
        if page.search is not None and page.links and chance < self.search:
            word = rng.choice(rng.choice(page.links).split())
            return _action(f"search {word}", Call("type", {"mark": page.search, "text": word}))
        if buttons and (chance < self.search + self.buttons or not page.links):
            text = rng.choice(buttons)
            return _action(f"try {text}", Call("click", {"mark": page.marks[text]}))
        if fresh or links:
            text = rng.choice(fresh or links)
            return _action(f"look at {text}", Call("click", {"mark": page.marks[text]}))
        top, bottom = context.observation.info.get("scroll", (0, 0))
        if top < bottom and rng.random() < 0.5:
            return _action("look further down", Call("scroll", {"direction": "down", "target": "window"}))
        return _action("back", Call("go_back"))

    async def log_prob(self, steps: object) -> list[list[float]]:
        """A script has no token probabilities.

        Raises:
            UserError: always.
        """
        raise UserError("the explorer is a script and has no log-probabilities.")


def _done(turn: Turn) -> tuple[str, str]:
    """Where a turn clicked what: (address, text)."""
    page, call = Sketch.of(turn.observation), turn.action.call
    mark = call.arguments.get("mark") if call is not None else None
    text = next((text for text, number in page.marks.items() if number == mark), "")
    return page.path, text


def _title(turn: Turn) -> str:
    return str(turn.observation.info.get("title", ""))


def _action(thought: str, call: Call) -> Action:
    return Action(f"Thought: {thought}\n{render(call)}", call)


def exploration_task(name: str, params: Mapping[str, object], number: int) -> Task:
    """The task of an exploring episode: a site, and nothing that is asked."""
    return Task(f"explore-{name}-{number:04d}", f"Look around {name}.", "browser", params, "train")
