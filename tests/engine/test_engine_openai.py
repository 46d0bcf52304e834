"""The endpoint client and policy against a real HTTP server on loopback that misbehaves when told to."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from turnsmith.agents.base import Context
from turnsmith.agents.load import load_policy
from turnsmith.agents.openai_policy import OpenAIPolicy
from turnsmith.engine.openai_client import ContextTooLong, Endpoint, OpenAIClient
from turnsmith.engine.sampling import Sampling
from turnsmith.errors import InfraError, UserError
from turnsmith.trace.types import Call, ImageRef, Observation, StopReason, Task

REPLY = "Thought: open the kettle\nAction: Click [3]"


class Server:
    """Serves one model, "tiny". `script` holds what to do with the next requests, in order; then it behaves."""

    def __init__(self) -> None:
        self.script: list[str] = []
        self.seen: list[dict] = []
        self.keys: list[str] = []
        self.times: list[float] = []
        self.at_once = self.most_at_once = 0
        self.url = ""

    async def models(self, request: Request) -> Response:
        return JSONResponse({"data": [{"id": "tiny"}]})

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        self.seen.append(body)
        self.keys.append(request.headers.get("authorization", ""))
        self.times.append(time.monotonic())
        return await self._reply(body, self.script.pop(0) if self.script else "ok")

    async def _reply(self, body: dict, what: str) -> Response:
        if body["model"] != "tiny":
            return JSONResponse({"error": {"message": f"The model `{body['model']}` does not exist"}}, 404)
        choice: dict = {"message": {"role": "assistant", "content": REPLY}, "finish_reason": "stop"}
        reply: dict = {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}
        match what:
            case "429":
                return JSONResponse({"error": {"message": "slow down"}}, 429, {"Retry-After": "0.3"})
            case "500":
                return JSONResponse({"error": {"message": "boom"}}, 500)
            case "401":
                return JSONResponse({"error": {"message": "bad key sk-secret"}}, 401)
            case "long":
                said = "This model's maximum context length is 512 tokens"
                return JSONResponse({"error": {"message": said}}, 400)
            case "400":
                return JSONResponse({"error": {"message": "logprobs are not supported"}}, 400)
            case "hang":
                await asyncio.sleep(5)
            case "slow":
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                await asyncio.sleep(0.05)
                self.at_once -= 1
            case "malformed":
                return Response('{"choices": [{"mess', media_type="application/json")
            case "empty":
                return JSONResponse({"choices": []})
            case "cut":
                payload = json.dumps(reply).encode()
                return Response(payload[:20], headers={"content-length": str(len(payload))})
            case "length":
                choice["finish_reason"] = "length"
            case "tokens":
                choice["logprobs"] = {"content": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.5}]}
                choice["token_ids"] = [7, 8]
                reply["prompt_token_ids"] = [1, 2, 3]
        return JSONResponse(reply)


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    server = Server()
    app = Starlette(
        routes=[Route("/v1/models", server.models), Route("/v1/chat/completions", server.chat, methods=["POST"])]
    )
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", timeout_graceful_shutdown=1)
    web = uvicorn.Server(config)
    thread = threading.Thread(target=web.run, daemon=True)
    thread.start()
    while not web.started:
        time.sleep(0.01)
    server.url = f"http://127.0.0.1:{web.servers[0].sockets[0].getsockname()[1]}/v1"
    yield server
    web.should_exit = True
    thread.join(timeout=5)


@pytest.fixture
def server(running: Server) -> Server:
    running.script, running.seen, running.keys, running.times = [], [], [], []
    running.most_at_once = 0
    return running


def client(server: Server, **fields) -> OpenAIClient:
    return OpenAIClient(Endpoint(server.url, **{"model": "tiny", "tries": 4, **fields}), first_wait=0.01)


async def ask(client: OpenAIClient, seed: int = 5):
    async with client:
        return await client.chat(
            [{"role": "user", "content": "hello"}], Sampling(max_new_tokens=9, stop=("\n\n",)), seed
        )


async def test_a_chat_sends_the_sampling_and_reads_the_reply(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    completion = await ask(client(server))
    assert (completion.text, completion.stop) == (REPLY, StopReason.EOS)
    assert (completion.prompt_tokens, completion.new_tokens) == (9, 3)
    body = server.seen[0]
    assert {key: body[key] for key in ("temperature", "top_p", "max_tokens", "seed", "stop")} == {
        "temperature": 1.0,
        "top_p": 1.0,
        "max_tokens": 9,
        "seed": 5,
        "stop": ["\n\n"],
    }
    assert server.keys == ["Bearer sk-secret"]


async def test_without_the_variable_no_key_is_sent(server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    await ask(client(server))
    assert server.keys == [""]


@pytest.mark.parametrize("trouble", ["429", "500", "malformed", "empty", "cut"])
async def test_what_may_pass_is_tried_again(server, trouble):
    server.script = [trouble, trouble]
    assert (await ask(client(server))).text == REPLY
    assert len(server.seen) == 3


async def test_retry_after_is_obeyed(server):
    server.script = ["429"]
    await ask(client(server))
    assert server.times[1] - server.times[0] >= 0.3


async def test_a_server_that_hangs_is_given_up_and_asked_again(server):
    server.script = ["hang"]
    assert (await ask(client(server, timeout_seconds=0.2))).text == REPLY


async def test_what_does_not_pass_is_an_infra_error(server):
    server.script = ["500"] * 9
    with pytest.raises(InfraError, match=r"endpoint_down.*status 500: boom, 4 times") as caught:
        await ask(client(server))
    assert caught.value.kind == "endpoint_down"
    assert len(server.seen) == 4


@pytest.mark.parametrize(
    ("trouble", "fields", "says"),
    [
        ("401", {}, "OPENAI_API_KEY"),
        ("ok", {"model": "huge"}, "knows no model 'huge'"),
        ("400", {}, "logprobs are not supported"),
    ],
)
async def test_what_someone_must_mend_is_a_user_error_at_once(server, monkeypatch, trouble, fields, says):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server.script = [trouble]
    with pytest.raises(UserError, match=says) as caught:
        await ask(client(server, **fields))
    assert len(server.seen) == 1
    assert "sk-secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_an_address_where_nothing_listens_is_a_user_error():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(UserError, match="nothing answers there"):
        await ask(OpenAIClient(Endpoint(url, "tiny")))


async def test_a_server_that_dies_after_it_was_reached_is_an_infra_error(server):
    open_client = client(server, tries=2)
    assert await open_client.models() == ["tiny"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    open_client._http.base_url = f"http://127.0.0.1:{port}/v1/"
    with pytest.raises(InfraError, match="endpoint_down"):
        await ask(open_client)


async def test_a_prompt_that_is_too_long_concerns_that_prompt_only(server):
    server.script = ["long"]
    with pytest.raises(ContextTooLong, match="maximum context length"):
        await ask(client(server))


async def test_no_more_requests_at_once_than_allowed(server):
    server.script = ["slow"] * 12
    async with client(server, concurrency=3) as limited:
        sampling = Sampling()
        await asyncio.gather(*(limited.chat([{"role": "user", "content": "x"}], sampling, n) for n in range(12)))
    assert server.most_at_once == 3


def context() -> Context:
    picture = ImageRef.of(b"not really a picture")
    return Context(Task("t", "Open the kettle", "browser"), Observation('[3]: "Kettle";', (picture,)), seed=11)


async def test_the_policy_acts_and_parses(server):
    policy = OpenAIPolicy(Endpoint(server.url, "tiny"))
    actions = await policy.act([context(), context()])
    await policy.close()
    assert [action.call for action in actions] == [Call("click", {"mark": 3})] * 2
    assert actions[0].text == REPLY
    assert policy.version == "tiny"
    sent = server.seen[0]["messages"]
    assert [message["role"] for message in sent] == ["system", "user"]
    assert sent[1]["content"][1]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert server.seen[0]["seed"] == 11


async def test_token_ids_and_log_probabilities_are_kept_where_the_server_gives_them(server):
    server.script = ["tokens", "length"]
    policy = OpenAIPolicy(Endpoint(server.url, "tiny", logprobs=True, token_ids=True))
    first = (await policy.act([context()]))[0]
    second = (await policy.act([context()]))[0]
    await policy.close()
    assert (first.prompt_ids, first.token_ids, first.logprobs) == ((1, 2, 3), (7, 8), (-0.5, -1.5))
    assert (second.token_ids, second.logprobs, second.stop) == ((), (), StopReason.LENGTH)
    assert server.seen[0]["return_token_ids"] is True


async def test_one_prompt_too_long_does_not_stop_the_others(server):
    server.script = ["long"]
    policy = OpenAIPolicy(Endpoint(server.url, "tiny", concurrency=1))
    first, second = await policy.act([context(), context()])
    await policy.close()
    assert first.call is None
    assert "does not fit" in first.error
    assert second.call == Call("click", {"mark": 3})


async def test_load_policy_knows_endpoints(server):
    policy = load_policy(f"openai:tiny@{server.url}")
    assert (await policy.act([context()]))[0].call == Call("click", {"mark": 3})
    for wrong in ("openai:tiny", "openai:@http://x/v1", "openai:tiny@localhost:8000"):
        with pytest.raises(UserError, match="write openai:MODEL@BASE_URL"):
            load_policy(wrong)
