"""A vision-language model behind an endpoint as the judge of device episodes, prompted in DigiRL's structure.

After every step the model sees the task and the current screenshot, at a quarter of its size, and nothing else. Before
that it is shown worked examples, each a screenshot, the task, a question (what should be visible?), an answer (what is
expected, then what is seen) and a status. Only the last line is read: `Status: success` or `Status: failure`.

Notable: two rules save calls, as in the authors' code: a screen that barely differs from the one before (mean squared
difference below 65 of 255²) is not asked about and not a success. Their third rule, that the first five screens ever
seen are never a success, is left out: those are shared by all phones and can be successes. All words here are ours.
"""

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from turnsmith.agents.frames import frame_of
from turnsmith.engine.openai_client import Endpoint, OpenAIClient
from turnsmith.engine.openai_reply import ContextTooLong
from turnsmith.engine.sampling import Sampling
from turnsmith.errors import InfraError
from turnsmith.judges.base import screens
from turnsmith.trace.types import ImageRef, Trace, Verdict

SAME_SCREEN = 65.0
"""Mean squared pixel difference below which two screens are the same (0.001 · 255²)."""

_STATUS = re.compile(r"Status:\s*\**\s*(\w+)", re.IGNORECASE)
_ROLE = (
    "You check the work of an assistant that operates a phone. You are given its task and what the phone shows now. "
    "Decide from this one picture whether the task is done."
)
_FORMAT = (
    "Answer in this form:\nA: what should be visible when the task is done, and then what is visible in the picture\n"
    "Status: success or failure"
)


Part = dict[str, object]
"""A message, or a part of one, in OpenAI's form."""


@dataclass(frozen=True, slots=True)
class Example:
    """A worked example for the prompt.

    Attributes:
        image: the screenshot.
        task: what was asked.
        answer: what is expected, then what is seen.
        success: the right status.
    """

    image: ImageRef
    task: str
    answer: str
    success: bool


class VisionJudge:
    """Asks an endpoint after each step. `close` it at the end."""

    def __init__(
        self,
        endpoint: Endpoint,
        examples: Sequence[Example] = (),
        *,
        attempts: int = 5,
        sampling: Sampling | None = None,
        client: OpenAIClient | None = None,
    ) -> None:
        """
        Args:
            endpoint: where the model is served.
            examples: shown first; DigiRL uses 9 (General) or 11 (WebShop).
            attempts: how often a reply without a status is asked for again; after that the step is no success.
            sampling: temperature 0 and at most 256 tokens without.
            client: instead of one made from the endpoint.
        """
        self.client = client or OpenAIClient(endpoint)
        self.examples = tuple(examples)
        self.attempts = attempts
        self.sampling = sampling or Sampling(temperature=0.0, max_new_tokens=256)
        self.name = f"vision-{endpoint.model}"

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()

    async def judge(self, trace: Trace) -> Verdict:
        """What the model says of the current screen.

        Raises:
            UserError, InfraError: by the rule of `engine.openai_client`.
        """
        seen = screens(trace)[-2:]
        if not seen:
            return Verdict(self.name, 0.0, "there is no screen")
        if len(seen) > 1 and difference(seen[-2], seen[-1]) < SAME_SCREEN:
            return Verdict(self.name, 0.0, "the screen did not change")
        messages = self.messages(trace.task.instruction, seen[-1])
        for attempt in range(self.attempts):
            try:
                said = (await self.client.chat(messages, self.sampling, trace.seed + attempt)).text
            except ContextTooLong as error:
                raise InfraError("judge_context", f"shorten the judge's examples: {error.detail}") from error
            status = parse_status(said)
            if status is not None:
                return Verdict(self.name, float(status), " ".join(said.split())[:300])
        return Verdict(self.name, 0.0, f"no status in {self.attempts} replies")

    def messages(self, task: str, image: ImageRef) -> list[Part]:
        """The chat that is sent, in OpenAI's form."""
        parts: list[Part] = [_text(_ROLE)]
        for example in self.examples:
            status = "success" if example.success else "failure"
            parts += [_picture(example.image), _text(f"{_asked(example.task)}\nA: {example.answer}\nStatus: {status}")]
        parts += [_picture(image), _text(f"{_asked(task)}\n{_FORMAT}")]
        return [{"role": "user", "content": parts}]


def parse_status(text: str) -> bool | None:
    """True for success, False for any other status, None where there is none. The last status counts."""
    statuses = _STATUS.findall(text)
    return statuses[-1].lower() == "success" if statuses else None


def difference(first: ImageRef, second: ImageRef) -> float:
    """Mean squared pixel difference of two screens at a quarter of their size; 0 for the same picture."""
    if first.digest == second.digest:
        return 0.0
    if first.data is None or second.data is None:
        raise ValueError("the screens have no bytes here; fetch them with Store.with_images")
    before, after = (frame_of(image.data or b"").numpy().astype(np.float32) for image in (first, second))
    return float(np.square(before - after).mean())


def _asked(task: str) -> str:
    return f"Task: {task}\nQ: What should be visible on the phone when this is done, and is it?"


def _text(text: str) -> Part:
    return {"type": "text", "text": text}


def _picture(image: ImageRef) -> Part:
    """A quarter of the picture's size in each direction, as JPEG in a data URL."""
    if image.data is None:
        raise ValueError(f"image {image.digest[:12]} has no bytes here; fetch it with Store.image")
    with Image.open(io.BytesIO(image.data)) as picture:
        small = picture.convert("RGB").resize((max(1, picture.width // 4), max(1, picture.height // 4)))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=85)
    data = base64.b64encode(file.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}
