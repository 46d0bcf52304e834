"""A model behind an endpoint as the outcome judge: PAE's evaluator, in our words.

It is asked once, when the agent has answered: the rubric as the system message; then the task, the answer, and the last
three screenshots (or, where an episode has none, what the last three pages said). It has to write down what the task
asks for, check every part of the answer against what is to be seen, and end with a verdict. An episode without an
answer is no success and costs nothing.

Temperature 0 and at most 1,000 tokens, as in the paper. What it may see is an `OutcomeView`, and no more.
"""

import re
from typing import Any

from turnsmith.agents.render import cut, data_uri
from turnsmith.engine.openai_client import Endpoint, OpenAIClient
from turnsmith.engine.openai_reply import ContextTooLong
from turnsmith.engine.sampling import Sampling
from turnsmith.errors import InfraError
from turnsmith.judges.outcome_features import OutcomeView, view_of
from turnsmith.trace.types import Trace, Verdict

RUBRIC = (
    "You check the work of somebody who carried out a task on a web site. You are given the task, the answer that they "
    "gave at the end, and the last pages that they saw, oldest first.\n\n"
    "How to check:\n"
    "1. Say in a line what the task asks for: a piece of information, something to be done, or both.\n"
    "2. Information: each part of the answer must be visible on these pages. What cannot be seen there counts as made "
    "up, however likely it is.\n"
    "3. It must be what was asked for: the same thing and not one with a similar name, the same property, every "
    "condition of the task kept. Part of it is not enough, and neither is a nearly right one.\n"
    "4. Something to be done: the pages must show that it is done, and done as it was asked. An announcement in the "
    "answer shows nothing.\n"
    "5. Where answer and pages contradict each other, the pages count. Where the task cannot be carried out on this "
    "site, it was not carried out.\n\n"
    "Write your reasons in a few sentences. Then end with one line: `Verdict: SUCCESS` or `Verdict: NOT SUCCESS`."
)
_VERDICT = re.compile(r"verdict\W*\s*(not\s+)?success", re.IGNORECASE)
_PAGE_CHARACTERS = 6000


class EndpointOutcomeJudge:
    """Asks an endpoint about whole episodes. `close` it at the end.

    Args:
        endpoint: where the model is served.
        pictures: show screenshots where the trace has them; else only the pages' texts.
        attempts: how often a reply without a verdict is asked for again; after that the episode is no success.
        sampling: temperature 0 and at most 1,000 tokens without.
        client: instead of one made from the endpoint.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        pictures: bool = True,
        attempts: int = 3,
        sampling: Sampling | None = None,
        client: OpenAIClient | None = None,
    ) -> None:
        self.client = client or OpenAIClient(endpoint)
        self.pictures = pictures
        self.attempts = attempts
        self.sampling = sampling or Sampling(temperature=0.0, max_new_tokens=1000)
        self.name = f"outcome-{endpoint.model}"

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()

    async def judge(self, trace: Trace) -> Verdict:
        """What the model says of the whole episode.

        Raises:
            UserError, InfraError: by the rule of `engine.openai_client`.
        """
        view = view_of(trace)
        if view.answer is None:
            return Verdict(self.name, 0.0, "no answer was given")
        messages = self.messages(view)
        for attempt in range(self.attempts):
            try:
                said = (await self.client.chat(messages, self.sampling, trace.seed + attempt)).text
            except ContextTooLong as error:
                raise InfraError("judge_context", f"the judge's model reads too little: {error.detail}") from error
            if (success := parse_verdict(said)) is not None:
                return Verdict(self.name, float(success), cut(" ".join(said.split()), 400))
        return Verdict(self.name, 0.0, f"no verdict in {self.attempts} replies")

    def messages(self, view: OutcomeView) -> list[dict[str, Any]]:
        """The chat that is sent, in OpenAI's form."""
        parts: list[dict[str, Any]] = [
            {"type": "text", "text": f"Task: {view.instruction}\nAnswer: {view.answer}\nThe last pages, oldest first:"}
        ]
        for number, look in enumerate(view.observations, start=1):
            title = str(look.info.get("title", ""))
            shown = self.pictures and any(image.data is not None for image in look.images)
            said = "" if shown else f"\n{cut(look.text, _PAGE_CHARACTERS)}"
            parts.append({"type": "text", "text": f"Page {number}: {title}{said}"})
            if shown:
                parts += [
                    {"type": "image_url", "image_url": {"url": data_uri(image)}}
                    for image in look.images
                    if image.data is not None
                ]
        return [{"role": "system", "content": RUBRIC}, {"role": "user", "content": parts}]


def parse_verdict(text: str) -> bool | None:
    """True for SUCCESS, False for NOT SUCCESS, None where there is no verdict. The last one counts."""
    found = list(_VERDICT.finditer(text))
    return found[-1][1] is None if found else None
