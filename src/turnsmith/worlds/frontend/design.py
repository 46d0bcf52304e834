"""ColBench's frontend design: each turn a whole page; a human's side that sees both pictures says what differs.

Every page that the agent writes is rendered (`envs.dialogue.pages`: no scripts, no network). The human's side is a
vision-language model that is shown the wanted page and the agent's, not the dialogue, and says in at most 1,000
characters what differs most. The reward is the similarity of the last page to the wanted one: CLIP's cosine where a
model is at hand, else structural similarity under its own name. A page that gives no picture counts as black.
"""

import asyncio
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from turnsmith.agents.base import Context
from turnsmith.agents.human import say
from turnsmith.agents.manner import text_message
from turnsmith.agents.render import Message, data_uri
from turnsmith.engine.chat import Chat
from turnsmith.envs.dialogue import Reply
from turnsmith.envs.dialogue.pages import PageRenderer
from turnsmith.errors import UserError
from turnsmith.trace.types import ORACLE, Call, ImageRef, Task, Verdict
from turnsmith.worlds.frontend.similarity import Similarity, black
from turnsmith.worlds.frontend.tasks import NAME
from turnsmith.worlds.programs.colbench import MARKER, OUTPUT

TURNS = 10
REPLY_CHARACTERS = 1_000
SHOWN_WIDTH, SHOWN_HEIGHT = 640, 4_000
_NO_PICTURE = "I see nothing of your page: it cannot be shown."

AGENT = f"""You build a web page with somebody who knows how it should look and describes it to you. They see a \
picture of every page that you write beside the page that they want, and tell you what differs.

Write one complete page in every reply, from <html> to </html>, with Tailwind classes for its style, about 100 lines. \
Take https://picsum.photos/id/48/W/H as the address of every picture, W and H being its size. No scripts.

You have {TURNS} turns in all; the page of your last turn is the one that counts. When nothing is left to be changed, \
write {MARKER} before the page, and the work is over. What stands before `{OUTPUT}` in a reply is for your thoughts."""

HUMAN = """You know how a web page should look: it is the first picture. Somebody builds it for you: the second picture
shows how far they are. Tell them what has to be changed, the largest differences first: parts that are missing or too
many, where things stand, colours, sizes, texts. Speak to them directly, in at most 1,000 characters, without code."""


class DesignManner:
    """How a chat model builds a page: see `agents.manner.Manner`."""

    def messages(self, context: Context) -> list[Message]:
        """The instructions, the description, and pages and remarks in turn."""
        chat = [text_message("system", AGENT), text_message("user", context.task.instruction)]
        seen = [*(turn.observation for turn in context.turns), context.observation]
        for turn, heard in zip(context.turns, seen[1:], strict=True):
            chat.append(text_message("assistant", turn.action.text.rpartition(OUTPUT)[2].strip() or "(nothing)"))
            chat.append(text_message("user", heard.error or heard.text))
        return chat

    def parse(self, text: str) -> tuple[Call | None, str]:
        """A page to be looked at, or, behind the marker, one to be handed in."""
        said = text.rpartition(OUTPUT)[2]
        page = last_page(said)
        if not page:
            return None, "there is no page from <html> to </html> in your reply"
        return Call("answer" if MARKER in said else "show", {"text": page}), ""


def last_page(text: str) -> str:
    """The last page in a text, from <html> to </html>; "" where there is none."""
    small, end = text.lower(), "</html>"
    close = small.rfind(end)
    begin = small.find("<html", small.rfind(end, 0, close) + 1, close) if close >= 0 else -1
    return text[begin : close + len(end)] if begin >= 0 else ""


class DesignDialogues:
    """The human's side of frontend tasks: see `envs.dialogue.Dialogues`.

    Args:
        human: a vision-language model that plays it.
        similarity: what a page is worth.
        tailwind: a local copy of Tailwind's stylesheet, or None.
        limit: agent turns.
    """

    name = NAME

    def __init__(
        self, human: Chat, similarity: Similarity, tailwind: Path | None = None, limit: int = TURNS
    ) -> None:  # fmt: skip
        self.limit = limit
        self.similarity = similarity
        self.pages = PageRenderer(tailwind)
        self._human = human
        self._wanted: dict[str, bytes] = {}

    async def start(self) -> None:
        """Start the browser."""
        await self.pages.start()

    async def stop(self) -> None:
        """End it."""
        await self.pages.stop()

    def open(self, task: Task, seed: int) -> "DesignDialogue":
        """The human's side of one task."""
        if not isinstance(task.hidden.get("html"), str):
            raise UserError(f"task {task.id}: a frontend task needs the wanted page as hidden html.")
        return DesignDialogue(self, task, seed, self._human)

    async def wanted(self, task: Task) -> bytes:
        """The picture of the reference, made once a task.

        Raises:
            UserError: if it gives none.
        """
        if task.id not in self._wanted:
            picture = await self.pages.render(task.hidden["html"])
            if picture is None:
                raise UserError(f"task {task.id}: its reference page gives no picture.")
            self._wanted[task.id] = picture
        return self._wanted[task.id]


class DesignDialogue:
    """One dialogue about one page."""

    def __init__(self, dialogues: DesignDialogues, task: Task, seed: int, human: Chat) -> None:
        self._dialogues, self._task, self._seed, self._human = dialogues, task, seed, human
        self._last: bytes | None = None

    async def reply(self, said: str) -> Reply:
        """Remarks on the two pictures, and nothing else."""
        self._last = await self._dialogues.pages.render(said)
        if self._last is None:
            return Reply(_NO_PICTURE, info={"rendered": False})
        pictures = [_shown(await self._dialogues.wanted(self._task)), _shown(self._last)]
        parts = [{"type": "image_url", "image_url": {"url": data_uri(picture)}} for picture in pictures]
        chat: list[dict[str, Any]] = [{"role": "system", "content": HUMAN}, {"role": "user", "content": parts}]
        text, cut = await say(self._human, chat, self._seed, REPLY_CHARACTERS)
        return Reply(text, (pictures[1],), {"rendered": True, **({"cut": True} if cut else {})})

    async def hand_in(self, work: str | None) -> tuple[Mapping[str, Any], Verdict]:
        """The similarity of the last page; of the one before where the last words held none."""
        if work is not None:
            self._last = await self._dialogues.pages.render(work)
        wanted = await self._dialogues.wanted(self._task)
        measure = self._dialogues.similarity
        value = await asyncio.to_thread(measure.compare, self._last or black(), wanted)
        info = {"similarity": value, "measure": measure.name, "rendered": self._last is not None}
        return info, Verdict(ORACLE, value, f"{measure.name} similarity to the wanted page")


def _shown(picture: bytes) -> ImageRef:
    """A picture as a model (and the record) sees it: 640 pixels wide, JPEG."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    height = min(SHOWN_HEIGHT, max(1, round(image.height * SHOWN_WIDTH / image.width)))
    out = io.BytesIO()
    image.resize((SHOWN_WIDTH, height), Image.Resampling.LANCZOS).save(out, "JPEG", quality=85)
    return ImageRef.of(out.getvalue())
