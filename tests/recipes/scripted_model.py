"""A tiny model behind an OpenAI-compatible endpoint: it proposes, judges and acts by simple rules."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from chat_server import serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PROPOSER, JUDGE, AGENT = "You write tasks", "You check the work", "You carry out a task"


class TinyModel:
    """Answers by what it is asked to be. `asked` counts requests by role; `tasks` is what it proposes."""

    def __init__(self, tasks: list[str]) -> None:
        self.tasks = tasks
        self.asked = {PROPOSER: 0, JUDGE: 0, AGENT: 0}
        self.bodies: list[str] = []
        self.url = ""

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(str(body))
        system = str(body["messages"][0]["content"])
        role = next(role for role in self.asked if system.startswith(role))
        self.asked[role] += 1
        said = {PROPOSER: self._propose, JUDGE: self._judge, AGENT: self._act}[role](body["messages"])
        choice = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        return JSONResponse({"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 10}})

    def _propose(self, messages: list) -> str:
        return "Visitors read tables.\nOutput:\n" + "\n".join(f'{{"task": "{task}"}}' for task in self.tasks)

    def _judge(self, messages: list) -> str:
        """A success where every word of the answer stands on one of the pages."""
        text = " ".join(part["text"] for part in messages[1]["content"] if part["type"] == "text")
        answer = re.search(r"Answer: (.*)", text)
        pages = text.partition("The last pages")[2]
        return f"Verdict: {'SUCCESS' if answer and answer[1] in pages else 'NOT SUCCESS'}"

    def _act(self, messages: list) -> str:
        """Open the link that the task quotes; where there is none, answer with the last word that it quotes."""
        task = re.search(r"Task: (.*)", str(messages[1]["content"]))
        wanted = re.findall(r"'([^']+)'", task[1] if task else "")
        page = str(messages[-1]["content"])
        for word in wanted[:-1]:
            if found := re.search(rf'\[(\d+)\]: (?:<button> )?"{re.escape(word)}"', page):
                done = sum(message["role"] == "assistant" for message in messages)
                if done < len(wanted):
                    return f"Thought: open {word}\nAction: Click [{found[1]}]"
        return f"Thought: it is here\nAction: ANSWER; [{wanted[-1] if wanted else 'done'}]"


@contextmanager
def tiny_model(tasks: list[str]) -> Iterator[TinyModel]:
    """The model on a free port of loopback."""
    model = TinyModel(tasks)
    app = Starlette(routes=[Route("/v1/chat/completions", model.chat, methods=["POST"])])
    with serving(app) as url:
        model.url = f"{url}/v1"
        yield model
