"""`turnsmith bench engine`: the engine of threads against `generate`, on the same weights in the same run.

The work is that of Countdown's threads: prompts and lengths of the calls of symbolic APR searches over four numbers,
parents before their children, under a model with random weights (a thread ends at its own length). Three ways to do it:

- this engine, 64 rows at once, rows coming and going;
- `generate` on padded batches of 64 in the order in which threads come (a batch lasts as long as its longest);
- `generate` one thread at a time.

The floor is written down before anything is timed, from what this machine reads and multiplies at this moment:

    seconds >= sum over tokens (context * bytes of keys and values) / bandwidth
               + tokens / rows * bytes of weights / bandwidth + tokens * 2 * parameters / matmul rate

A server that speaks OpenAI's completions (vLLM, SGLang) joins in where one runs with the same weights:

    turnsmith bench engine --write-model DIR          # then serve DIR without a tokenizer, under the name "bench"
    turnsmith bench engine --server http://localhost:8000/v1

Rounds are interleaved, so that a change of the machine's load meets all of them; figures are medians of rounds. All
ways are greedy, and the tokens of every thread must be the same.
"""

import argparse
import concurrent.futures
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx
import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from turnsmith.engine.forward import left_pad
from turnsmith.engine.models import LanguageModel
from turnsmith.engine.threads import Engine
from turnsmith.engine.tree import Limits, NoThreads, Request
from turnsmith.errors import UserError
from turnsmith.evaluate.claims import Claim, record
from turnsmith.worlds.countdown import compact
from turnsmith.worlds.countdown.problem import generate
from turnsmith.worlds.countdown.search import solve_parallel
from turnsmith.worlds.countdown.vocabulary import Vocabulary

ROWS = 64
SERVED = "bench"
"""The name under which a server must serve the model."""


@dataclass(frozen=True, slots=True)
class Work:
    """One thread: what it is given, and how many tokens it writes."""

    prompt: tuple[int, ...]
    new: int


@dataclass(frozen=True, slots=True)
class _Timed:
    """What was measured.

    Attributes:
        seconds: of each way and kind of work, a round each, such as "engine, ragged".
        ragged, even, some: the work: Countdown's threads, threads of one length, and those that ran one at a time.
        floors: the least seconds that this machine needs, by kind.
    """

    seconds: dict[str, list[float]]
    ragged: Sequence[Work]
    even: Sequence[Work]
    some: Sequence[Work]
    floors: dict[str, float]

    @property
    def tokens(self) -> dict[str, int]:
        """How many are written, by kind; "time" are those one at a time."""
        kinds = {"ragged": self.ragged, "even": self.even, "time": self.some}
        return {kind: sum(thread.new for thread in work) for kind, work in kinds.items()}

    @property
    def rates(self) -> dict[str, np.ndarray]:
        """Tokens a second of each way, a round each."""
        tokens = self.tokens
        return {
            name: np.array([tokens[name.rsplit(" ", 1)[1]] / value for value in values])
            for name, values in self.seconds.items()
        }


def main(argv: list[str]) -> int:
    """Measure, print a table, record results/bench_engine.json."""
    parser = argparse.ArgumentParser(
        prog="turnsmith bench engine", description="the engine of threads against generate"
    )
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=int, default=128, help="threads of inference in a round")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--server", default="", help="base URL of a server of the model that --write-model wrote")
    parser.add_argument("--write-model", default="", help="write the model to this folder, and stop")
    parser.add_argument("--no-record", action="store_true", help="print only")
    options = parser.parse_args(argv)
    if options.rounds < 3 or options.work < ROWS:
        raise UserError(f"--rounds must be at least 3 and --work at least {ROWS}.")

    torch.set_num_threads(options.threads)
    model = make_model(options.width, options.layers, options.device)
    if options.write_model:
        model.save_pretrained(options.write_model)
        print(f"wrote {options.write_model}; serve it under the name {SERVED!r}, token ids in and out")
        return 0
    ragged = countdown_work(options.work, seed=0)
    even = [Work(work.prompt[:24], 96) for work in ragged[:ROWS]]
    bandwidth, rate = machine_limits(options.device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    floors = {name: floor_seconds(model, work, bandwidth, rate) for name, work in (("ragged", ragged), ("even", even))}
    print(
        f"{parameters / 1e6:.2f} M parameters; this machine now: {bandwidth / 1e9:.1f} GB/s, {rate / 1e9:.0f} GFLOP/s"
    )
    for name, work in (("ragged", ragged), ("even", even)):
        tokens = sum(thread.new for thread in work)
        print(f"floor, {name}: {tokens} tokens in {floors[name]:.2f} s, {tokens / floors[name]:,.0f} tokens/s")

    seconds: dict[str, list[float]] = {}
    some = ragged[:: max(1, len(ragged) // 8)][:8]  # one at a time is slow: eight threads stand for all
    same = True
    for number in range(options.rounds + 1):  # the first round warms up
        timed = {}
        timed["engine, ragged"], tokens_engine = clock(run_engine, model, ragged)
        timed["padded, ragged"], tokens_padded = clock(run_padded, model, ragged)
        timed["engine, even"], _ = clock(run_engine, model, even)
        timed["padded, even"], _ = clock(run_padded, model, even)
        timed["one at a time"], tokens_single = clock(run_single, model, some)
        if options.server:
            timed["server, ragged"], _ = clock(lambda _, work: run_server(options.server, work), model, ragged)
        at = {id(work): index for index, work in enumerate(ragged)}
        same &= tokens_engine == tokens_padded
        same &= all(tokens_engine[at[id(work)]] == tokens for work, tokens in zip(some, tokens_single, strict=True))
        for name, value in timed.items() if number else ():
            seconds.setdefault(name, []).append(value)
    if not same:
        print("the ways disagree about some token (random weights have near ties)")
    _report(options, _Timed(seconds, ragged, even, some, floors), parameters, same)
    return 0


def _report(options: argparse.Namespace, timed: _Timed, parameters: int, same: bool) -> None:
    rates = timed.rates
    for name, values in rates.items():
        print(f"{name:16} {np.median(values):8,.0f} tokens/s  ({values.min():,.0f} to {values.max():,.0f})")
    tokens = timed.tokens["ragged"]
    print(
        f"critical path: the longest thread writes {max(work.new for work in timed.ragged)} tokens; "
        f"{tokens / ROWS:.0f} steps of full rows"
    )
    if options.no_record:
        return
    note = (
        f"{parameters / 1e6:.2f} M parameters, {ROWS} rows, {options.threads} torch threads, {len(timed.ragged)} "
        f"Countdown threads ({tokens} tokens), median of {options.rounds} rounds; the interval is the range of rounds. "
        f"Tokens of all ways {'are equal' if same else 'differ at near ties'}."
    )
    command = f"turnsmith bench engine --threads {options.threads} --rounds {options.rounds} --work {options.work}"
    print(f"recorded {record('bench_engine', _claims(timed, note), command)}")


def _claims(timed: _Timed, note: str) -> list[Claim]:
    """How the engine compares with the other ways and with its floor."""
    rates = timed.rates

    def ratio(first: str, second: str) -> tuple[float, tuple[float, float]]:
        pairs = rates[first] / rates[second]
        return float(np.median(rates[first]) / np.median(rates[second])), (float(pairs.min()), float(pairs.max()))

    claims = []
    for id, words, pair, goal in (
        (
            "vs_hf_padded",
            "Tokens/s over generate on padded batches of 64",
            ("engine, ragged", "padded, ragged"),
            ">= 2",
        ),
        ("vs_hf_padded_even", "The same where all threads are equally long", ("engine, even", "padded, even"), ""),
        ("vs_hf_sequential", "Tokens/s over generate one at a time", ("engine, ragged", "one at a time"), ">= 10"),
    ):
        value, interval = ratio(*pair)
        rate = float(np.median(rates[pair[1]]))
        claims.append(Claim(id, words, value, goal, baseline=f"{rate:,.0f} tokens/s", ci95=interval, note=note))
    if "server, ragged" in rates:
        value, interval = ratio("engine, ragged", "server, ragged")
        claims.append(Claim("vs_server", "Tokens/s over an OpenAI-compatible server", value, ci95=interval, note=note))
    for suffix, kind in (("", "ragged"), ("_even", "even")):
        share = np.array([timed.floors[kind] / value for value in timed.seconds[f"engine, {kind}"]])
        claims.append(
            Claim(
                f"floor_ratio{suffix}",
                f"Share of the memory and matmul floor that the engine reaches, {kind} lengths",
                float(np.median(share)),
                baseline=f"{timed.tokens[kind] / timed.floors[kind]:,.0f} tokens/s is the floor",
                ci95=(float(share.min()), float(share.max())),
                note=note,
            )
        )
    rate = float(np.median(rates["engine, ragged"]))
    return [*claims, Claim("tokens_per_second", "Sampled tokens a second of the engine", rate, note=note)]


def make_model(width: int, layers: int, device: str) -> LlamaForCausalLM:
    """A Llama with random weights; the default sizes have about a million."""
    config = LlamaConfig(
        vocab_size=160,
        hidden_size=width,
        intermediate_size=width * 11 // 4,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 32),
        num_key_value_heads=max(1, width // 32),
        max_position_embeddings=2048,
        eos_token_id=None,
        bos_token_id=None,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():  # far from uniform, so that greedy tokens have no ties
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    return model.eval().to(torch.device(device))  # type: ignore[arg-type]


def countdown_work(count: int, seed: int) -> list[Work]:
    """Threads of symbolic APR searches in the compact grammar: eight parents, then their children, and so on."""
    rng, vocabulary = random.Random(seed), Vocabulary(digits=True, nodes=64)
    work: list[Work] = []
    while len(work) < count:
        parents, children = [], []
        for _ in range(8):
            beam = rng.randint(1, 10)
            search = solve_parallel(generate(rng), rng, beam, rng.randint(beam, 15))
            for call in compact.parallel_calls(search):
                one = Work(tuple(vocabulary.ids(call.prompt)), len(vocabulary.ids(call.words)))
                (parents if call.node == () else children).append(one)
        work += parents + children
    return work[:count]


def clock(
    run: Callable[..., list[list[int]]], model: LanguageModel, work: Sequence[Work]
) -> tuple[float, list[list[int]]]:
    """Seconds of one way, and what each thread wrote."""
    began = time.perf_counter()
    tokens = run(model, work)
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began, tokens


def run_engine(model: LanguageModel, work: Sequence[Work]) -> list[list[int]]:
    """This engine."""
    engine = Engine(model, NoThreads(()), Limits(window=2048), temperature=0, rows=ROWS)
    trees = engine.run([Request(thread.prompt, 0, window=len(thread.prompt) + thread.new) for thread in work])
    return [tree.root.calls[0].token_ids for tree in trees]


def run_padded(model: LlamaForCausalLM, work: Sequence[Work]) -> list[list[int]]:
    """`generate` on batches of 64, padded on the left; a batch goes on until its longest thread is done."""
    found = []
    for start in range(0, len(work), ROWS):
        part = work[start : start + ROWS]
        ids, mask = (tensor.to(model.device) for tensor in left_pad([thread.prompt for thread in part]))
        new = max(thread.new for thread in part)
        output = model.generate(ids, attention_mask=mask, max_new_tokens=new, do_sample=False, pad_token_id=0)  # type: ignore
        rows = output[:, ids.shape[1] :].tolist()
        found += [row[: one.new] for row, one in zip(rows, part, strict=True)]
    return found


def run_single(model: LlamaForCausalLM, work: Sequence[Work]) -> list[list[int]]:
    """`generate`, one thread after the other."""
    found = []
    for thread in work:
        ids = torch.tensor([thread.prompt], device=model.device)
        mask = torch.ones_like(ids)
        output = model.generate(ids, attention_mask=mask, max_new_tokens=thread.new, do_sample=False, pad_token_id=0)  # type: ignore
        found.append(output[0, ids.shape[1] :].tolist())
    return found


def run_server(base_url: str, work: Sequence[Work]) -> list[list[int]]:
    """A completions endpoint, 64 requests at once; token ids are sent, and only the time counts.

    Raises:
        UserError: if it does not answer as such a server does.
    """

    def ask(client: httpx.Client, one: Work) -> None:
        body = {
            "model": SERVED,
            "prompt": list(one.prompt),
            "max_tokens": one.new,
            "temperature": 0,
            "ignore_eos": True,
        }
        reply = client.post(f"{base_url.rstrip('/')}/completions", json=body)
        reply.raise_for_status()
        written = reply.json()["usage"]["completion_tokens"]
        if written != one.new:
            raise UserError(f"{base_url}: wrote {written} tokens where {one.new} were asked for.")

    try:
        with httpx.Client(timeout=600) as client, concurrent.futures.ThreadPoolExecutor(ROWS) as pool:
            list(pool.map(lambda one: ask(client, one), work))
    except (httpx.HTTPError, KeyError, ValueError) as error:
        raise UserError(f"{base_url}: no completions server of the model {SERVED!r} ({error}).") from error
    return []


def machine_limits(device: str) -> tuple[float, float]:
    """Bytes a second that are read, and floating-point operations a second of a matrix product, both now."""
    # Two arrays of 256 MB in turn, larger than any cache; many repeats, so that one of them had the machine to itself.
    memory = torch.ones(2, 64 * 2**20, device=device)
    square = torch.randn(1024, 1024, device=device)

    def best(work: Callable[[], object], repeats: int) -> float:
        times = []
        for _ in range(repeats):
            began = time.perf_counter()
            work()
            if device != "cpu":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
        return min(times[1:])

    read = best(lambda: memory[0].sum() + memory[1].sum(), 20)
    multiply = best(lambda: square @ square, 40)
    return memory.numel() * 4 / read, 2 * 1024**3 / multiply


def floor_seconds(model: LanguageModel, work: Sequence[Work], bandwidth: float, rate: float) -> float:
    """The least time that these threads take: see the head of this file."""
    config = model.config
    size = next(model.parameters()).element_size()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * size
    contexts = sum(thread.new * len(thread.prompt) + thread.new * (thread.new - 1) // 2 for thread in work)
    tokens = sum(thread.new for thread in work)
    memory = contexts * per_token + tokens / min(ROWS, len(work)) * parameters * size
    return memory / bandwidth + tokens * 2 * parameters / rate
