"""What is said with one program in a sandbox, line by line, and what its words and its ending amount to.

Everything that comes out was written by code that nobody trusts: a line that is no answer ends the conversation.
"""

import json
import os
import select
import signal
import time
from collections.abc import Callable, Mapping

from turnsmith.envs.sandbox.types import Ending, Function, Json, Limits, Reply, Result
from turnsmith.envs.sandbox.values import BadValue, decode
from turnsmith.errors import InfraError
from turnsmith.jsonl import parse_json


class Conversation:
    """What is said with one program: its request out, its lines in, calls of functions between them."""

    def __init__(self, data: bytes, expressions: int, functions: Mapping[str, Function], limits: Limits) -> None:
        self.pipes: tuple[int, int] = (-1, -1)
        self.ended = False
        """The program said that it is done, or its pipe is closed."""
        self.heard = False
        """Something came out."""
        self._request = data
        self._to_send = data
        self._functions, self._limits, self._expected = functions, limits, expressions
        self._replies: list[Reply] = []
        self._calls: list[tuple[str, list[Json], Mapping[str, Json]]] = []
        self._stopped: tuple[Ending, str] | None = None
        self._finished: tuple[Ending, str] | None = None
        self._printed = ""

    def again(self) -> "Conversation":
        """The same conversation from its beginning."""
        return Conversation(self._request, self._expected, self._functions, self._limits)

    def hold(self, source: int, target: int, stop: Callable[[], None]) -> None:
        """Talk until the program is done, or stop it: at the deadline, at too much output, at nonsense."""
        deadline = time.monotonic() + self._limits.wall_seconds
        buffer, total = b"", 0
        os.set_blocking(target, False)
        while True:
            left = deadline - time.monotonic()
            readable, writable, _ = select.select([source], [target] if self._to_send else [], [], max(left, 0))
            if left <= 0:
                self._stopped = (Ending.TIMEOUT, f"more than {self._limits.wall_seconds:g} s by the clock")
                return stop()
            if writable:
                self._send(target)
            if not readable:
                continue
            chunk = os.read(source, 65536)
            if not chunk:
                self.ended = True
                return None
            self.heard = True
            total += len(chunk)
            if total > self._limits.output_bytes:
                self._stopped = (Ending.OUTPUT, f"more than {self._limits.output_bytes} bytes came out")
                return stop()
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                if not self._take(line):
                    return stop()
                if self.ended:
                    return None

    def _send(self, target: int) -> None:
        try:
            self._to_send = self._to_send[os.write(target, self._to_send) :]
        except BlockingIOError:
            pass
        except OSError:  # it is gone; reading will say so
            self._to_send = b""

    def _take(self, line: bytes) -> bool:
        """Understand one line; False where the program has to be stopped."""
        try:
            row = parse_json(line)
            if "call" in row:
                return self._answer(row)
            if "end" in row:
                kind, detail = row["end"]
                self._finished = (Ending(kind), str(detail)[:500])
                self._printed = str(row["output"])[:20_000]
                self.ended = True
            elif "value" in row:
                self._replies.append(Reply(Ending.OK, decode(row["value"])))
            elif "error" in row:
                kind, detail = row["error"]
                self._replies.append(Reply(Ending(kind), None, str(detail)[:500]))
            elif row != {"ready": True}:
                raise BadValue("an unknown line")
            if len(self._replies) > self._expected:
                raise BadValue("more replies than expressions")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            self._stopped = (Ending.PROTOCOL, f"not an answer ({str(error)[:100]})")
            return False
        return True

    def _answer(self, row: dict[str, Json]) -> bool:
        name, args, kwargs = row["call"], row["args"], row["kwargs"]
        if not (isinstance(name, str) and isinstance(args, list) and isinstance(kwargs, dict)):
            raise BadValue("a call that is none")
        function = self._functions.get(name)
        if function is None:
            raise BadValue("a function that is not offered")
        if len(self._calls) >= self._limits.function_calls:
            self._stopped = (Ending.OUTPUT, f"more than {self._limits.function_calls} calls of functions")
            return False
        self._calls.append((name, args, kwargs))
        try:
            answer = {"output": function(*args, **kwargs)}
        except InfraError:
            raise
        except Exception as error:  # the program called it wrongly: that is told to the program
            answer = {"error": f"{type(error).__name__}: {error}"[:500]}
        self._to_send += json.dumps(answer).encode() + b"\n"
        return True

    def result(self, code: int) -> Result:
        """The typed result, from what was said and how the process ended (exit code, or minus the signal)."""
        ending, detail = self._stopped or self._finished or _of_code(code)
        if ending is not Ending.OK or len(self._replies) == self._expected:
            rest = (ending, detail)
        else:  # it said "ok" after too few replies: the alarm tore the conversation, or the program lies
            last = self._replies[-1].ending if self._replies else Ending.PROTOCOL
            rest = (last if last is not Ending.OK else Ending.PROTOCOL, "not reached")
        replies = self._replies + [Reply(rest[0], None, rest[1])] * (self._expected - len(self._replies))
        if ending is Ending.OK:
            failed = next((reply for reply in replies if reply.ending is not Ending.OK), None)
            if failed is not None:
                ending, detail = failed.ending, failed.detail
        return Result(ending, tuple(replies), detail, self._printed, tuple(self._calls))


def _of_code(code: int) -> tuple[Ending, str]:
    """The ending of a process that stopped talking."""
    if code in (-signal.SIGXCPU, -signal.SIGALRM):
        return Ending.TIMEOUT, "the time of processor ran out"
    if code < 0:
        name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
        return Ending.KILLED, f"ended by {name}"
    return Ending.EXITED, f"left with status {code} and no answer"
