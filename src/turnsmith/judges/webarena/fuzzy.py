"""The question that rules cannot answer: does this text mean the same?

A `FuzzyJudge` is pluggable. `EndpointFuzzy` asks a model behind an OpenAI-compatible endpoint, with our own words for
the benchmark's two questions. "Partially correct" is not correct, as in the benchmark.
"""

import re
from typing import Protocol

from turnsmith.engine.openai_client import Endpoint, OpenAIClient
from turnsmith.engine.openai_reply import ContextTooLong
from turnsmith.engine.sampling import Sampling
from turnsmith.errors import InfraError

_ROLE = "You grade answers. Reply with one short sentence of reasoning, then the verdict alone on the last line."


class FuzzyJudge(Protocol):
    """Somebody who understands texts. `name` is part of the reasons that it gives."""

    name: str

    async def same_answer(self, question: str, reference: str, answer: str) -> bool:
        """Whether an answer says all that the reference says, in whatever words.

        Raises:
            InfraError: if the model behind the judge failed.
        """
        ...

    async def same_reason(self, task: str, reason: str, report: str) -> bool:
        """Whether a report of failure gives, at least implicitly, the reason why the task cannot be done.

        Raises:
            InfraError: if the model behind the judge failed.
        """
        ...


class EndpointFuzzy:
    """Asks a model at temperature 0. `close` it at the end."""

    def __init__(self, endpoint: Endpoint, client: OpenAIClient | None = None) -> None:
        self.client = client or OpenAIClient(endpoint)
        self.name = f"fuzzy-{endpoint.model}"

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()

    async def same_answer(self, question: str, reference: str, answer: str) -> bool:
        """See `FuzzyJudge`."""
        asked = (
            f"Question: {question}\nReference answer: {reference}\nStudent's answer: {answer}\n\n"
            "The wording may differ. N/A means that the task cannot be done. Does the student's answer say the same as "
            "the reference? Verdict: correct, partially correct or incorrect."
        )
        return await self._ask(asked, ("partially correct", "incorrect", "correct")) == "correct"

    async def same_reason(self, task: str, reason: str, report: str) -> bool:
        """See `FuzzyJudge`."""
        asked = (
            f"A task that cannot be done: {task}\nWhy it cannot be done: {reason}\nWhat somebody who tried reported: "
            f"{report}\n\nDoes the report give that reason, at least implicitly? Verdict: same or different."
        )
        return await self._ask(asked, ("different", "same")) == "same"

    async def _ask(self, text: str, verdicts: tuple[str, ...]) -> str:
        """The verdict on the last line that has one; a reply without any is a failure of the judge."""
        messages = [{"role": "system", "content": _ROLE}, {"role": "user", "content": text}]
        try:
            said = (await self.client.chat(messages, Sampling(temperature=0.0, max_new_tokens=256), 0)).text
        except ContextTooLong as error:
            raise InfraError("judge_context", error.detail) from error
        for line in reversed(said.lower().splitlines()):
            for verdict in verdicts:
                if re.search(rf"\b{verdict}\b", line):
                    return verdict
        raise InfraError("judge_reply", f"{self.name} gave no verdict: {said[:120]!r}")
