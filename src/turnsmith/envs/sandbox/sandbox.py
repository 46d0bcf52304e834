"""Run code that a model wrote, and get back a typed ending and plain values, whatever the code does.

`Sandbox(mode="fresh")` starts a process in namespaces of its own for every program: for code of models that others
trained. `Sandbox(mode="server")` keeps a zygote in one sandbox and forks a child a program, ten times as fast: for
checks written by our own small models. In both, one program's process is never used for another program.
"""

import json
import os
import queue
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal, Self

from turnsmith.envs.sandbox.conversation import Conversation
from turnsmith.envs.sandbox.launch import choose_tier, start
from turnsmith.envs.sandbox.types import Function, Json, Limits, Result, Tier
from turnsmith.errors import InfraError

Mode = Literal["fresh", "server"]
_START_SECONDS = 30.0
_REAP_SECONDS = 5.0
# A sandbox dies with the thread that started it (the kernel's "parent death" is that of a thread), so that servers are
# started by a thread that lives as long as the process.
_launcher = ThreadPoolExecutor(1, "sandbox-launcher")


class Sandbox:
    """One place to run programs, one at a time; `SandboxPool` runs several at once.

    Args:
        mode: "fresh" or "server", see above.
        limits: of every program.
        allow_unsafe: run without namespaces where the machine has none (`Tier.PLAIN`).

    Attributes:
        tier: what stands between a program and the machine.
        restarts: how often the zygote had to be replaced.

    Raises:
        UserError: if this machine cannot hold untrusted code and `allow_unsafe` is False.
    """

    def __init__(self, mode: Mode = "fresh", limits: Limits | None = None, allow_unsafe: bool = False) -> None:
        self.mode: Mode = mode
        self.limits = limits or Limits()
        self.tier: Tier = choose_tier(allow_unsafe)
        self.restarts = 0
        self._zygote: _Zygote | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the zygote; nothing is left running."""
        if self._zygote is not None:
            self._zygote.close()
            self._zygote = None

    def run(
        self,
        code: str,
        expressions: Sequence[str] = (),
        *,
        inputs: Mapping[str, Json] | None = None,
        functions: Mapping[str, Function] | None = None,
        limits: Limits | None = None,
    ) -> Result:
        """Load a program and evaluate expressions in it, all in one process that serves nothing else.

        Args:
            code: Python source.
            expressions: such as "solve(3, 4)"; evaluated in order, each with its own reply. One that runs out of its
                share of time, or raises, does not stop the others.
            inputs: JSON values that the program finds under these names.
            functions: what the program may call; they run out here, in this thread. Inside, they stand under their own
                names and as attributes of `tools`.
            limits: of this program; the sandbox's own without.

        Returns:
            The typed result. It never raises for anything that the program did.

        Raises:
            InfraError: if the machinery failed ("sandbox_down").
            TypeError: if inputs are not JSON.
        """
        limits = limits or self.limits
        program = {"code": code, "expressions": list(expressions), "inputs": dict(inputs or {})}
        request = {**program, "functions": list(functions or {}), "limits": limits.to_json()}
        data = json.dumps(request).encode() + b"\n"
        begin = time.monotonic()
        try:
            talk = Conversation(data, len(expressions), functions or {}, limits)
            result = _run_fresh(self.tier, talk) if self.mode == "fresh" else self._run_in_server(talk)
        except OSError as error:
            raise InfraError("sandbox_down", str(error)) from error
        return replace(result, seconds=time.monotonic() - begin, tier=self.tier)

    def _run_in_server(self, talk: Conversation) -> Result:
        """In a child of the zygote; where that is gone before the program said a word, in a child of a new one."""
        for attempt in range(3):
            if self._zygote is None:
                self._zygote = _Zygote(self.tier)
            zygote = self._zygote
            result = zygote.finish(talk) if zygote.begin(talk) else None
            if zygote.dead:
                self.close()
                self.restarts += 1
            if result is not None and (talk.heard or not zygote.dead or attempt > 0):
                return result
            talk = talk.again()
        raise InfraError("sandbox_down", "the server ends as soon as it is started")


def _run_fresh(tier: Tier, talk: Conversation) -> Result:
    with _pipes() as (child_in, our_out, our_in, child_out):
        process = start(tier, "once", stdin=child_in.take(), stdout=child_out.take(), writable_tmp=True)
        child_in.close()
        child_out.close()
        try:
            talk.hold(our_in.number, our_out.number, stop=lambda: _kill(process))
        finally:
            if not talk.ended:
                _kill(process)
            try:
                code = process.wait(_REAP_SECONDS)
            except subprocess.TimeoutExpired:
                _kill(process)
                code = process.wait(_REAP_SECONDS)
            _kill_group(process)
    # bubblewrap tells of a signal as a shell does
    return talk.result(-(code - 128) if code > 128 else code)


class _Zygote:
    """The server inside one sandbox, seen from outside."""

    def __init__(self, tier: Tier) -> None:
        self.dead = False
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            null = subprocess.DEVNULL
            self._process = _launcher.submit(
                start, tier, "serve", stdin=null, stdout=null, control=theirs.fileno()
            ).result()
        finally:
            theirs.close()
        self._socket.settimeout(_START_SECONDS)
        try:
            up = self._socket.recv(16)
        except TimeoutError:
            up = b""
        if up != b"up":
            self.close()
            raise InfraError("sandbox_down", "the server in the sandbox does not start")

    def begin(self, talk: Conversation) -> bool:
        """Hand a pair of pipes over; False where the server is gone."""
        with _pipes() as (child_in, our_out, our_in, child_out):
            try:
                socket.send_fds(self._socket, [b"run"], [child_in.number, child_out.number])
            except OSError:
                self.dead = True
                return False
            talk.pipes = (our_in.take(), our_out.take())
        return True

    def finish(self, talk: Conversation) -> Result:
        """Hold the conversation and ask how the child ended."""
        source, target = talk.pipes
        try:
            talk.hold(source, target, stop=self._stop)
        finally:
            os.close(source)
            os.close(target)
            if not talk.ended:
                self._stop()
            code = self._status()
        return talk.result(code)

    def _stop(self) -> None:
        try:
            self._socket.send(b"kill")
        except OSError:
            self.dead = True

    def _status(self) -> int:
        self._socket.settimeout(_REAP_SECONDS)
        try:
            data = self._socket.recv(256)
            return int(json.loads(data)[0])
        except (OSError, ValueError):
            self.dead = True
            return -signal.SIGKILL

    def close(self) -> None:
        self._socket.close()
        _kill(self._process)
        try:
            self._process.wait(_REAP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        _kill_group(self._process)


class _Descriptor:
    """A file descriptor that is closed once."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._open = True

    def take(self) -> int:
        """The number; for those who close it themselves, or pass it on and call `close`."""
        self._open = False
        return self.number

    def close(self) -> None:
        self._open = False
        os.close(self.number)

    def close_if_open(self) -> None:
        if self._open:
            self.close()


@contextmanager
def _pipes():
    """Two pipes as (child's input, our output, our input, child's output); what was not taken is closed."""
    child_in, our_out = os.pipe()
    our_in, child_out = os.pipe()
    ends = [_Descriptor(number) for number in (child_in, our_out, our_in, child_out)]
    try:
        yield ends
    finally:
        for end in ends:
            end.close_if_open()


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        process.kill()
    except OSError:
        pass


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Whoever is left of the process's session; `process` itself was waited for, its group id is still its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass


class SandboxPool:
    """Several sandboxes, so that several threads (or `asyncio.to_thread`) run programs at once.

    Args:
        size: how many; as many as there are cores is a good number.
        mode, limits, allow_unsafe: as for `Sandbox`.
    """

    def __init__(
        self, size: int, mode: Mode = "server", limits: Limits | None = None, allow_unsafe: bool = False
    ) -> None:
        self.sandboxes = [Sandbox(mode, limits, allow_unsafe) for _ in range(size)]
        self._free: queue.LifoQueue[Sandbox] = queue.LifoQueue()
        for sandbox in self.sandboxes:
            self._free.put(sandbox)
        self._closing = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every sandbox."""
        with self._closing:
            for sandbox in self.sandboxes:
                sandbox.close()

    def run(
        self,
        code: str,
        expressions: Sequence[str] = (),
        *,
        inputs: Mapping[str, Json] | None = None,
        functions: Mapping[str, Function] | None = None,
        limits: Limits | None = None,
    ) -> Result:
        """As `Sandbox.run`, in whichever sandbox is free next; blocks until one is."""
        sandbox = self._free.get()
        try:
            return sandbox.run(code, expressions, inputs=inputs, functions=functions, limits=limits)
        finally:
            self._free.put(sandbox)
