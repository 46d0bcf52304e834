"""A chat model behind a real HTTP endpoint on loopback, played by a Python function."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Script = Callable[[list[dict]], str]
"""From the messages of a request to what is said."""


class ChatServer:
    """Serves each script under its name as a model. `seen` holds the requests by model."""

    def __init__(self, scripts: dict[str, Script]) -> None:
        self.scripts = scripts
        self.seen: dict[str, list[dict]] = {name: [] for name in scripts}
        self.address = ""

    def spec(self, model: str) -> str:
        """How the command line names one of them."""
        return f"openai:{model}@{self.address}/v1"

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        self.seen[body["model"]].append(body)
        said = self.scripts[body["model"]](body["messages"])
        choice = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        return JSONResponse({"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 5}})


@contextmanager
def chat_server(**scripts: Script) -> Iterator[ChatServer]:
    """The models on a free port of loopback."""
    models = ChatServer(scripts)
    app = Starlette(routes=[Route("/v1/chat/completions", models.chat, methods=["POST"])])
    with serving(app) as models.address:
        yield models


@contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """An application on a free port of loopback; its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(5)
