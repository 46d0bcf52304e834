"""A model behind an endpoint as the proposer, prompted with PAE's demands in our words.

Context is the site's name and address alone, or screenshots and pages of a user's browsing besides. The model thinks
first, then writes `Output:` and one JSON object a line: {"task": "…"}. 25 tasks a request, temperature 1, top-p 0.9,
2,048 tokens: the paper's settings. Lines that are no such object are counted, not mended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from turnsmith.agents.render import cut, data_uri
from turnsmith.engine.openai_client import Endpoint, OpenAIClient
from turnsmith.engine.openai_reply import ContextTooLong
from turnsmith.engine.sampling import Sampling, turn_seed
from turnsmith.errors import InfraError
from turnsmith.jsonl import parse_json
from turnsmith.tasks.propose.proposal import Proposal
from turnsmith.tasks.propose.sketch import visited
from turnsmith.trace.types import ImageRef, Trace

PER_REQUEST = 25
_DEMANDS = (
    "You write tasks that train an assistant to use a web site. The assistant clicks and types in a browser and gives "
    "an answer at the end. What makes a good task:\n"
    "- a real visitor of this site might want it; together the tasks use many different parts of the site;\n"
    "- wording and difficulty vary; a practised person needs three to seven clicks, a few tasks are easier, and "
    "you are certain that the site can do it;\n"
    "- it has one right outcome: whoever reads it knows exactly what is wanted, with names, numbers and "
    "conditions given;\n"
    "- it does not depend on the day, the place or who asks, and needs no account;\n"
    "- the answer and the last three pages show whether it was done.\n\n"
    "First think about what the site offers and who uses it. Then write a line `Output:` and after it one JSON "
    "object a line, nothing else."
)
_EXAMPLE = (
    "Example for a site about the public library of a town:\n"
    "Visitors look for books, compare editions, and read opening hours and rules.\n"
    "Output:\n"
    '{"task": "How many copies of \\"The Salt Path\\" does the branch at Mill Lane hold?"}\n'
    '{"task": "Find the newest children\'s book by Ada Brook in the catalogue and open its page."}'
)


@dataclass(frozen=True, slots=True)
class Site:
    """The site that tasks are written for.

    Attributes:
        name: as people call it.
        params: of every task ("start_url", "allow", or a local site's).
        url: shown to the model; "" leaves it out.
    """

    name: str
    params: dict[str, Any]
    url: str = ""


class EndpointProposer:
    """Asks an endpoint for tasks. `close` it at the end.

    Args:
        endpoint: where the model is served.
        pictures: how many screenshots of demonstrations a request holds at most.
        sampling: temperature 1, top-p 0.9, 2,048 tokens without.
        seed: of the requests.
    """

    def __init__(
        self, endpoint: Endpoint, *, pictures: int = 8, sampling: Sampling | None = None, seed: int = 0
    ) -> None:
        self.client = OpenAIClient(endpoint)
        self.pictures = pictures
        self.sampling = sampling or Sampling(temperature=1.0, top_p=0.9, max_new_tokens=2048)
        self.seed = seed
        self.name = endpoint.model
        self.unread = 0
        """Lines of replies that were no task."""

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()

    async def propose(self, site: Site, count: int, demonstrations: Sequence[Trace] = ()) -> list[Proposal]:
        """About `count` proposals; fewer where the model repeats itself or writes what cannot be read.

        Args:
            site: what they are for.
            count: how many are wanted.
            demonstrations: a user's browsing of the site, with screenshots where the model takes them.

        Raises:
            UserError, InfraError: by the rule of `engine.openai_client`.
        """
        found: dict[str, Proposal] = {}
        context = "demonstrations" if demonstrations else "name"
        source = {"proposer": self.name, "context": context, "read": [trace.id for trace in demonstrations][:8]}
        for request in range(2 * -(-count // PER_REQUEST)):  # as many again where some come to nothing
            wanted = min(PER_REQUEST, count - len(found))
            if wanted < 1:
                break
            messages = self.messages(site, wanted, demonstrations, list(found))
            try:
                said = await self.client.chat(messages, self.sampling, turn_seed(self.seed, request))
            except ContextTooLong as error:
                raise InfraError("proposer_context", f"show the proposer fewer pages: {error.detail}") from error
            texts, unread = parse_proposals(said.text)
            self.unread += unread
            for text in texts[:wanted]:
                found.setdefault(text, Proposal(text, site.params, "model", source=source))
        return list(found.values())

    def messages(
        self, site: Site, count: int, demonstrations: Sequence[Trace], before: Sequence[str]
    ) -> list[dict[str, Any]]:
        """The chat of one request, in OpenAI's form."""
        where = f"{site.name} ({site.url})" if site.url else site.name
        asked = f"Write {count} tasks for this site: {where}."
        if before:
            asked += " Other than these: " + " | ".join(cut(text, 90) for text in before[-PER_REQUEST:])
        parts: list[dict[str, Any]] = [{"type": "text", "text": _EXAMPLE}]
        if demonstrations:
            parts.append({"type": "text", "text": "This is how people use the site:"})
            parts += self._browsing(demonstrations)
        parts.append({"type": "text", "text": asked})
        return [{"role": "system", "content": _DEMANDS}, {"role": "user", "content": parts}]

    def _browsing(self, demonstrations: Sequence[Trace]) -> list[dict[str, Any]]:
        """Pages in words, with what was done there, and some of their screenshots."""
        parts: list[dict[str, Any]] = []
        shown = 0
        for number, trace in enumerate(demonstrations, start=1):
            lines = [f"Visit {number}:"]
            pictures: list[ImageRef] = []
            for step in visited(trace):
                done = f": {step.call.name} {step.target}".rstrip() if step.call is not None else ""
                lines.append(f"- {cut(step.page.head or step.page.path, 60)}{done}")
            for turn in trace.turns:
                pictures += [image for image in turn.observation.images if image.data is not None]
            parts.append({"type": "text", "text": "\n".join(lines)})
            for image in pictures[: max(0, self.pictures - shown)]:
                parts.append({"type": "image_url", "image_url": {"url": data_uri(image)}})
                shown += 1
        return parts


def parse_proposals(text: str) -> tuple[list[str], int]:
    """The tasks after `Output:` (or anywhere, where there is no such line), and how many lines were none."""
    _, marked, after = text.rpartition("Output:")
    lines = [line.strip().strip("`") for line in (after if marked else text).splitlines()]
    lines = [line for line in lines if line and line != "json"]
    found = []
    for line in lines:
        try:
            row = parse_json(line.rstrip(","))
        except ValueError:
            continue
        task = row.get("task") if isinstance(row, dict) else None
        if isinstance(task, str) and task.strip():
            found.append(" ".join(task.split()))
    return found, (len(lines) - len(found)) if marked else 0
