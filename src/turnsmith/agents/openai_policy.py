"""A policy behind an OpenAI-compatible endpoint: any model that something else serves."""

import asyncio
from collections.abc import Sequence

from turnsmith.agents import grammar, render
from turnsmith.agents.base import Context
from turnsmith.agents.manner import Manner
from turnsmith.agents.parsing import parse
from turnsmith.engine.openai_client import Endpoint, OpenAIClient
from turnsmith.engine.openai_reply import Completion, ContextTooLong
from turnsmith.engine.sampling import Sampling
from turnsmith.errors import UserError
from turnsmith.trace.types import Action, StopReason

_NO_TEXT = {
    StopReason.TOOL_CALL: "The reply calls a tool of the protocol. Write the action as text, in the form above.",
    StopReason.LENGTH: "The reply was used up before its answer began.",
    StopReason.REFUSAL: "The model refused.",
}
"""What is said of a reply that ended so and has no action in it."""


class OpenAIPolicy:
    """A served model that acts. `close` it at the end.

    Attributes:
        independent: contexts are asked for one by one, so that no session waits for another's reply.
        version: the model's name without another.
        sampling: temperature 1 and at most 512 new tokens without another.
    """

    independent = True

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        rendering: render.Rendering = "webvoyager",
        dialect: grammar.Dialect | None = None,
        sampling: Sampling | None = None,
        version: str | None = None,
        manner: Manner | None = None,
    ) -> None:
        """Make a policy; nothing is sent before the first action.

        Args:
            endpoint: where the model is served.
            rendering: how contexts become chats; "compact" is one user message.
            dialect: of the action grammar; that of the rendering without one.
            sampling: temperature and limits.
            version: stored with every trace.
            manner: of a world that is no web page, instead of rendering and dialect.
        """
        self.manner = manner
        self.client = OpenAIClient(endpoint)
        self.rendering: render.Rendering = rendering
        self.dialect: grammar.Dialect = dialect or render.dialect_of(rendering)
        self.sampling = sampling or Sampling(max_new_tokens=512)
        self.version = version or endpoint.model

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()

    async def act(self, contexts: Sequence[Context]) -> list[Action]:
        """One action a context, asked for at once; see `agents.base.Policy`.

        A prompt that does not fit into the model's context is an action without a call, and an error that says so.

        Raises:
            UserError, InfraError: by the rule of `engine.openai_client`.
        """
        asked = [asyncio.ensure_future(self._act(context)) for context in contexts]
        try:
            return list(await asyncio.gather(*asked))
        finally:
            for task in asked:  # where one failed, the others are not worth waiting for
                task.cancel()

    async def _act(self, context: Context) -> Action:
        try:
            completion = await self.client.chat(self.messages(context), self.sampling, context.seed)
        except ContextTooLong as error:
            return Action("", error=f"The prompt does not fit into the model's context: {error.detail}")
        return self._action(completion)

    def messages(self, context: Context) -> list[dict]:
        """The chat that is sent in this context, in OpenAI's form."""
        if self.manner is not None:
            return render.to_openai(self.manner.messages(context))
        if self.rendering == "compact":
            return [{"role": "user", "content": render.compact(context)}]
        return render.to_openai(render.CHATS[self.rendering](context))

    def _action(self, completion: Completion) -> Action:
        text = completion.text.strip()
        call, error = parse(text, self.dialect) if self.manner is None else self.manner.parse(text)
        if call is None and (not text or completion.stop is StopReason.REFUSAL):
            error = _NO_TEXT.get(completion.stop, "The reply has no text.")
        ids = completion.token_ids
        return Action(
            text,
            call,
            error,
            prompt_ids=completion.prompt_ids,
            token_ids=ids,
            # Without the ids that they belong to, log-probabilities say nothing that can be trained on.
            logprobs=completion.logprobs if len(completion.logprobs) == len(ids) else (),
            stop=completion.stop,
        )

    async def log_prob(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """An endpoint samples; it does not score.

        Raises:
            UserError: always.
        """
        raise UserError("an endpoint gives no log-probabilities of given tokens. Score with a local model folder.")
