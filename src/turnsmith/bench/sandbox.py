"""`turnsmith bench sandbox`: verifications a second in the sandbox, how long one takes, and whether anything escapes.

A verification is what the self-challenging recipe does: a function of a few lines that reads an order (handed in as
JSON) and says yes or no. Two threads ask a pool of two servers. Escapes are attacks that got what they were after.
"""

import os
import socket
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from turnsmith.envs.sandbox import Ending, Json, Limits, Sandbox, SandboxPool
from turnsmith.errors import UserError
from turnsmith.evaluate.claims import Claim, record
from turnsmith.options import parse_options

_CHECK = """
def verify(order, answer):
    paid = sum(p["amount"] for p in order["payment_history"] if p["transaction_type"] == "payment")
    return order["status"] == "cancelled" and order["reason"] == answer and paid == 120.5
"""
_ORDER: dict[str, Json] = {
    "status": "cancelled",
    "reason": "no longer needed",
    "items": [{"item_id": str(number), "price": 12.05, "options": {"color": "teal"}} for number in range(10)],
    "payment_history": [{"transaction_type": "payment", "amount": 120.5, "payment_method_id": "gift_card_1"}],
}


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured.

    Attributes:
        checks: how many verifications in the servers; claims are recorded from 400 on.
        fresh: how many in fresh processes.
        workers: threads and servers.
        results: the folder for results/bench_sandbox.json.
    """

    checks: int = 800
    fresh: int = 40
    workers: int = 2
    results: Annotated[Path, tyro.conf.arg(help="the folder of results")] = Path("results")


def main(argv: list[str]) -> int:
    """Measure, attack, print, record."""
    options = parse_options(Options, argv, prog="turnsmith bench sandbox", description=__doc__)
    if options.checks < 20 or options.fresh < 2 or options.workers < 1:
        raise UserError("bench sandbox needs at least --checks 20, --fresh 2 and --workers 1.")
    load = os.getloadavg()[0]
    with SandboxPool(options.workers, "server") as pool:
        pool.run(_CHECK)
        rate, seconds = measure(pool, options.checks, options.workers)
    with SandboxPool(1, "fresh") as pool:
        fresh_rate, fresh_seconds = measure(pool, options.fresh, 1)
    escaped = attack("server") + attack("fresh")
    p95 = 1e3 * statistics.quantiles(seconds, n=20)[-1]
    fresh_p95 = 1e3 * statistics.quantiles(fresh_seconds, n=20)[-1]
    print(f"servers          {rate:7.1f} checks/s   p95 {p95:6.1f} ms   ({options.workers} at once)")
    print(f"fresh processes  {fresh_rate:7.1f} checks/s   p95 {fresh_p95:6.1f} ms")
    print(f"escapes          {len(escaped)} of {2 * len(ATTACKS)} attacks {' '.join(escaped)}; load {load:.1f}")
    if options.checks < 400:
        print("Not recorded: the claims are about at least 400 checks.")
        return 0
    setting = f"{options.workers} servers and threads; load {load:.1f} at the start"
    claims = [
        Claim(
            "verifications_per_s", "Verifications a second in the sandbox", round(rate, 1), goal=">= 40",
            note=f"{setting}; fresh processes, one at a time: {fresh_rate:.1f}/s",
        ),
        Claim(
            "p95_ms", "95 % of verifications take at most so many milliseconds", round(p95, 1), goal="<= 100",
            note=f"{setting}; fresh processes: {fresh_p95:.0f} ms",
        ),
        Claim(
            "escapes", f"Attacks that succeed, of {2 * len(ATTACKS)} in both modes", len(escaped), goal="== 0",
            note="network, files, links, processes, signals, memory, environment, equality, leaving, looping, flooding",
        ),
    ]  # fmt: skip
    print(f"recorded in {record('bench_sandbox', claims, 'turnsmith bench sandbox', options.results)}")
    return 0


def measure(pool: SandboxPool, checks: int, workers: int) -> tuple[float, list[float]]:
    """(checks a second, seconds of each), asked by so many threads.

    Raises:
        RuntimeError: if a check gives a wrong answer.
    """
    seconds: list[float] = []
    wrong: list[object] = []

    def work(count: int) -> None:
        for number in range(count):
            answer = "no longer needed" if number % 2 else "ordered by mistake"
            begin = time.perf_counter()
            found = pool.run(_CHECK, ["verify(order, answer)"], inputs={"order": _ORDER, "answer": answer})
            seconds.append(time.perf_counter() - begin)
            if found.value is not (number % 2 == 1):
                wrong.append(found)

    begin = time.perf_counter()
    threads = [threading.Thread(target=work, args=(checks // workers,)) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise RuntimeError(f"{len(wrong)} checks gave a wrong answer, the first: {wrong[0]}")
    return len(seconds) / (time.perf_counter() - begin), seconds


# name -> program that sets `found` to True where it got out; {port} and {secret} are filled in
ATTACKS = {
    "network": "import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)\nfound = True",
    "file": "found = open({secret!r}).read() == 'secret'",
    "passwd": "found = 'root' in open('/etc/passwd').read()",
    "symlink": "import os\nos.symlink({secret!r}, '/tmp/l')\nfound = open('/tmp/l').read() == 'secret'",
    "write": "open('/usr/turnsmith-was-here', 'w')\nfound = True",
    "fork": "import os\nfound = os.fork() >= 0",
    "run": "import subprocess\nfound = subprocess.run(['/bin/true']).returncode == 0",
    "signal": "import os, signal\nos.kill(os.getppid(), 0)\nos.kill({pid}, 0)\nfound = True",
    "memory": "x = bytearray(3 * 2**30)\nfound = True",
    "environment": "import os\nfound = 'TURNSMITH_BENCH_SECRET' in os.environ",
    "equality": "class Yes(int):\n    def __eq__(self, other): return True\nfound = Yes(0)",
    "exit": "import os\nos._exit(0)",
    "loop": "while True: pass",
    "flood": "while True: print('x' * 10_000)",
}


def attack(mode: str) -> list[str]:
    """The names of the attacks that got out."""
    os.environ["TURNSMITH_BENCH_SECRET"] = "secret"
    escaped = []
    limits = Limits(wall_seconds=6, call_seconds=2)
    with socket.create_server(("127.0.0.1", 0)) as server, tempfile.TemporaryDirectory() as folder:
        secret = Path(folder) / "secret"
        secret.write_text("secret")
        filled = {"port": server.getsockname()[1], "secret": str(secret), "pid": os.getpid()}
        with Sandbox("fresh" if mode == "fresh" else "server", limits) as sandbox:
            for name, program in ATTACKS.items():
                result = sandbox.run(_fill(program, filled), ["found"])
                if result.ending is Ending.OK and result.value is not False:
                    escaped.append(f"{mode}:{name}")
    del os.environ["TURNSMITH_BENCH_SECRET"]
    return escaped


def _fill(program: str, values: dict[str, int | str]) -> str:
    for name, value in values.items():
        program = program.replace(f"{{{name}!r}}", repr(value)).replace(f"{{{name}}}", str(value))
    return program
