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
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from turnsmith.agents.base import Context
from turnsmith.agents.load import load_policy
from turnsmith.agents.openai_policy import OpenAIPolicy
from turnsmith.engine.openai_client import Endpoint, OpenAIClient
from turnsmith.engine.openai_reply import Completion, ContextTooLong, Refused, TryAgain, completion, decode, trouble
from turnsmith.engine.sampling import Sampling
from turnsmith.errors import InfraError, UserError
from turnsmith.rollout.batcher import Batcher
from turnsmith.trace.types import Call, ImageRef, Observation, StopReason, Task

REPLY = "Thought: open the kettle\nAction: Click [3]"


async def drip():
    """A byte now and then, which never makes a whole reply."""
    for _ in range(100):
        yield b" "
        await asyncio.sleep(0.05)


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
            case "drip":
                return StreamingResponse(drip(), media_type="application/json")
            case "zip that is none":
                return Response(b"not packed", headers={"content-encoding": "gzip"})
            case "echo":
                said = f"cannot serve Bearer {self.keys[-1].removeprefix('Bearer ')}"
                return JSONResponse({"error": {"message": said}}, 400)
            case "reasoning model":
                if "max_tokens" in body:
                    said = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
                    return JSONResponse({"error": {"message": said}}, 400)
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


@pytest.mark.parametrize("trouble", ["429", "500", "malformed", "empty", "cut", "zip that is none"])
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


async def test_a_byte_now_and_then_does_not_prolong_a_try(server):
    server.script = ["drip"]
    began = time.monotonic()
    assert (await ask(client(server, timeout_seconds=0.3))).text == REPLY
    assert time.monotonic() - began < 4


async def test_a_key_that_the_server_echoes_is_in_no_message(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server.script = ["echo"]
    with pytest.raises(UserError, match=r"cannot serve Bearer \(the key\)") as caught:
        await ask(client(server))
    assert "sk-secret" not in str(caught.value)


async def test_the_limit_is_sent_under_the_name_that_the_model_wants(server):
    server.script = ["reasoning model"] * 4
    async with client(server) as asking:
        for _ in range(2):
            await asking.chat([{"role": "user", "content": "x"}], Sampling(max_new_tokens=9), 0)
    names = ["max_tokens" if "max_tokens" in body else "max_completion_tokens" for body in server.seen]
    assert names == ["max_tokens", "max_completion_tokens", "max_completion_tokens"]
    assert server.seen[-1]["max_completion_tokens"] == 9


async def test_what_is_refused_after_others_succeeded_concerns_that_prompt_only(server):
    server.script = ["ok", "400", "ok"]
    async with client(server) as asking:
        chats = [{"role": "user", "content": "x"}]
        await asking.chat(chats, Sampling(), 0)
        with pytest.raises(Refused, match="logprobs are not supported") as caught:
            await asking.chat(chats, Sampling(), 1)
        assert caught.value.kind == "request_refused"
        await asking.chat(chats, Sampling(), 2)


@pytest.mark.parametrize(
    "said",
    [
        "request (33056 tokens) exceeds the available context size (32768 tokens), try increasing it",
        "The decoder prompt (length 13000) is longer than the maximum model length of 8192.",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).",
        "This model's maximum context length is 512 tokens",
        "Please reduce the length of the messages.",
    ],
)
def test_a_prompt_that_is_too_long_is_known_by_every_servers_words(said):
    assert isinstance(trouble(400, said, worked=False), ContextTooLong)


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (
            400,
            "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
            Refused,
        ),
        (429, "You exceeded your current quota", UserError),
        (429, "slow down", TryAgain),
        (402, "Provider returned error: insufficient credits", UserError),
        (413, "Payload Too Large", ContextTooLong),
        (500, "context deadline exceeded", TryAgain),
        (422, "unknown field 'seed'", UserError),
        (None, "Upstream died", TryAgain),
    ],
)
def test_trouble_is_told_apart_by_kind(status, said, kind):
    assert type(trouble(status, said, worked=False)) is kind


def choice(content: object, ended: str = "stop", **message: object) -> dict:
    return {"choices": [{"finish_reason": ended, "message": {"role": "assistant", "content": content, **message}}]}


@pytest.mark.parametrize(
    ("reply", "text", "stop"),
    [
        (
            choice([{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]),
            "ab",
            StopReason.EOS,
        ),
        (choice(None, refusal="I cannot help."), "I cannot help.", StopReason.REFUSAL),
        (choice(None, "tool_calls", tool_calls=[{"id": "c"}]), "", StopReason.TOOL_CALL),
        (choice("text", "tool_calls", tool_calls=[{"id": "c"}]), "text", StopReason.EOS),
        (choice(None, "length", reasoning_content="long"), "", StopReason.LENGTH),
        (choice("half \ud83d"), None, StopReason.EOS),
        ({**choice("x"), "usage": None}, "x", StopReason.EOS),
    ],
)
def test_what_the_model_did_is_a_completion_that_says_so(reply, text, stop):
    found = completion(reply)
    assert isinstance(found, Completion)
    assert (found.text, found.stop) == ("half \ufffd" if text is None else text, stop)


def test_an_error_in_a_reply_of_status_200_keeps_the_providers_words():
    with pytest.raises(UserError, match="insufficient credits"):
        completion({"error": {"message": "Provider returned error: insufficient credits", "code": 402}})
    upstream = choice("", "error")
    upstream["choices"][0]["error"] = {"code": 502, "message": "Upstream died"}
    with pytest.raises(TryAgain, match="Upstream died"):
        completion(upstream)
    with pytest.raises(Refused) as caught:
        completion(choice(None, "content_filter"))
    assert caught.value.kind == "content_filter"


@pytest.mark.parametrize(
    "broken",
    [
        {"usage": {"prompt_tokens": float("inf")}},
        {"logprobs": [float("nan")]},
        {"logprobs": [0.7]},
        {"token_ids": [3, -1]},
        {"token_ids": [2**40]},
        {"token_ids": [1.5]},
        {"prompt_token_ids": [True]},
    ],
)
def test_figures_that_cannot_be_are_no_reply(broken):
    reply = choice("x")
    if "logprobs" in broken:
        reply["choices"][0]["logprobs"] = {"content": [{"logprob": value} for value in broken["logprobs"]]}
    elif "token_ids" in broken:
        reply["choices"][0]["token_ids"] = broken["token_ids"]
    else:
        reply |= broken
    with pytest.raises(TryAgain, match="not a chat completion"):
        completion(reply)


@pytest.mark.parametrize("body", [b"[" * 100_000, b"<html>", b"\xff\xfe{}", b'{"n": ' + b"9" * 5000 + b"}"])
def test_json_that_no_parser_should_follow_is_no_reply(body):
    with pytest.raises(TryAgain):
        decode(body)


async def test_no_session_waits_for_anothers_reply_and_giving_up_takes_the_request_back(server):
    server.script = ["hang", "ok"]
    policy = OpenAIPolicy(Endpoint(server.url, "tiny", tries=1))
    batcher = Batcher(policy)
    slow = asyncio.ensure_future(batcher.act(context()))
    await asyncio.sleep(0.2)
    quick = await asyncio.wait_for(batcher.act(context()), timeout=3)
    assert quick.call == Call("click", {"mark": 3})
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    await policy.close()


async def test_a_reply_without_text_says_why_there_is_no_action():
    policy = OpenAIPolicy(Endpoint("http://localhost:1/v1", "tiny"))
    tool = policy._action(Completion("", StopReason.TOOL_CALL))
    cut = policy._action(Completion("", StopReason.LENGTH))
    refused = policy._action(Completion("I cannot help.", StopReason.REFUSAL))
    await policy.close()
    assert (tool.call, cut.call, refused.call) == (None, None, None)
    assert "calls a tool" in tool.error
    assert "before its answer began" in cut.error
    assert (refused.error, refused.text) == ("The model refused.", "I cannot help.")


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
