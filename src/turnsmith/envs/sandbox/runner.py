"""What runs inside the sandbox. It imports the standard library only and is started from its source text.

Two ways of running: `once` reads one program from its standard input and answers on its standard output; `serve` is a
zygote, which receives a pair of pipes for every program over a socket and forks a child for it. The child shares
nothing with the zygote that it could write to: no file, no socket, no signal.

Lines of JSON. In: `{"code", "expressions", "inputs", "functions", "limits"}`, then `{"output": …}` for every function
that the program called. Out: `{"ready": …}`, `{"call": NAME, "args": …, "kwargs": …}`, `{"value": …}` or `{"error": …}`
an expression, `{"end": …}`. Nothing here is believed outside: the parent reads every line as hostile.
"""

import array
import json
import os
import select
import signal
import socket
import sys

_WARM = (
    "collections", "datetime", "decimal", "fractions", "functools", "heapq", "itertools", "math", "operator", "random",
    "re", "resource", "statistics", "string", "typing",
)  # fmt: skip
_PRINTED = 20_000  # characters of printed text that are kept


class OutputLimit(Exception):
    """The program prints without end."""


class NotPlain(TypeError):
    """A value that is not made of None, bool, int, float, str, list, tuple, dict and set, by exact type."""


class CallTimeout(BaseException):
    """One expression took longer than its share (a BaseException, so that `except Exception` does not hide it)."""


def encode(value, depth=0):
    """A plain value as tagged JSON, checked by exact type: `[tag, content]`.

    Raises:
        NotPlain: for anything else, subclasses included: an object that answers True to every comparison is not plain.
    """
    kind = type(value)
    if depth > 60:
        raise NotPlain("nested deeper than 60 levels")
    if value is None or kind is bool or kind is str:
        return ["v", value]
    if kind is int:
        return ["i", format(value, "x")]
    if kind is float:
        return ["f", value.hex()]
    if kind in (list, tuple):
        return ["l" if kind is list else "t", [encode(item, depth + 1) for item in value]]
    if kind in (set, frozenset):
        return ["s", sorted((encode(item, depth + 1) for item in value), key=repr)]
    if kind is dict:
        return ["d", [[encode(key, depth + 1), encode(item, depth + 1)] for key, item in value.items()]]
    raise NotPlain(f"a value of type {kind.__name__} is not plain data")


class _Printed:
    """Stands for sys.stdout: keeps the first characters, ends a program that prints without end."""

    encoding = "utf-8"

    def __init__(self):
        self.parts, self.size = [], 0

    def write(self, text):
        text = str(text)
        if self.size < _PRINTED:
            self.parts.append(text[: _PRINTED - self.size])
        self.size += len(text)
        if self.size > 100 * _PRINTED:
            raise OutputLimit("the program printed more than 2,000,000 characters")
        return len(text)

    def flush(self):
        pass

    def isatty(self):
        return False


class _Channel:
    def __init__(self, source, target):
        self.source = os.fdopen(source, "rb")
        self.target = target

    def read(self):
        line = self.source.readline()
        if not line:
            os._exit(3)
        return json.loads(line)

    def write(self, row):
        data = json.dumps(row).encode() + b"\n"
        while data:
            data = data[os.write(self.target, data) :]


def _lock(limits, seccomp):
    """Give up, for good, what the program must not have: more processes, memory, files, signals to others."""
    import resource

    for name, value in (
        ("RLIMIT_CPU", limits["cpu_seconds"]),
        ("RLIMIT_AS", limits["memory_bytes"]),
        ("RLIMIT_FSIZE", limits["file_bytes"]),
        ("RLIMIT_NOFILE", limits["open_files"]),
        ("RLIMIT_NPROC", 0),
        ("RLIMIT_CORE", 0),
    ):
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        value = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
        resource.setrlimit(kind, (value, value + 1 if name == "RLIMIT_CPU" and hard < 0 else value))
    if seccomp:
        import ctypes

        class Program(ctypes.Structure):
            _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

        libc = ctypes.CDLL(None, use_errno=True)
        buffer = ctypes.create_string_buffer(seccomp, len(seccomp))
        program = Program(len(seccomp) // 8, ctypes.cast(buffer, ctypes.c_void_p))
        long = ctypes.c_ulong
        libc.prctl(4, long(0), long(0), long(0), long(0))  # PR_SET_DUMPABLE: no one reads this process's memory
        failed = libc.prctl(38, long(1), long(0), long(0), long(0))  # PR_SET_NO_NEW_PRIVS
        failed = failed or libc.prctl(22, long(2), ctypes.byref(program), long(0), long(0))  # PR_SET_SECCOMP
        if failed:
            os._exit(4)


def _error(error):
    kinds = ((MemoryError, "memory"), (CallTimeout, "timeout"), (OutputLimit, "output"), (NotPlain, "not_plain"))
    for kind, name in kinds:
        if isinstance(error, kind):
            return [name, str(error)[:500]]
    if isinstance(error, SyntaxError):
        return ["syntax", f"{type(error).__name__}: {error}"[:500]]
    if isinstance(error, SystemExit):
        return ["exited", f"SystemExit: {error.code}"[:500]]
    try:
        text = str(error)
    except BaseException:
        text = ""
    return ["raised", f"{type(error).__name__}: {text}"[:500]]


def _functions(names, channel):
    """Functions that live outside: a call goes over the channel and comes back as a value or an exception."""

    def remote(name):
        def call(*args, **kwargs):
            channel.write({"call": name, "args": list(args), "kwargs": kwargs})
            row = channel.read()
            if "error" in row:
                raise RuntimeError(row["error"])
            return row["output"]

        call.__name__ = call.__qualname__ = name
        return call

    return {name: remote(name) for name in names}


def _on_alarm(_number, _frame):
    raise CallTimeout("took longer than its share of time")


def _timed(seconds, work):
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def run(source, target, seccomp):
    """Run one program from the channel; returns to nobody."""
    channel = _Channel(source, target)
    request = channel.read()
    limits = request["limits"]
    printed = sys.stdout = sys.stderr = _Printed()
    functions = _functions(request["functions"], channel)
    space = {"__name__": "__sandbox__", **request["inputs"], **functions}
    space["tools"] = type("Tools", (), {name: staticmethod(call) for name, call in functions.items()})
    signal.signal(signal.SIGALRM, _on_alarm)
    _lock(limits, seccomp)
    seconds = limits["call_seconds"]
    try:
        _timed(seconds, lambda: exec(compile(request["code"], "<program>", "exec"), space))
        channel.write({"ready": True})
    except BaseException as error:
        channel.write({"end": _error(error), "output": "".join(printed.parts)})
        os._exit(0)
    for expression in request["expressions"]:
        try:
            value = _timed(seconds, lambda e=expression: eval(compile(e, "<call>", "eval"), space))
            row = {"value": encode(value)}
        except BaseException as error:
            row = {"error": _error(error)}
        channel.write(row)
        if functions and row.get("error", [""])[0] == "timeout":
            break  # the alarm may have torn a line of the conversation
    channel.write({"end": ["ok", ""], "output": "".join(printed.parts)})
    os._exit(0)


def once(seccomp):
    """One program: standard input is where it comes from, standard output where its answers go."""
    source, target = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    run(source, target, seccomp)


def serve(control, seccomp):
    """The zygote: for every message with two descriptors, fork a child that runs the program behind them."""
    import ctypes

    for name in _WARM:  # imported once here, so that no child has to
        __import__(name)
    ctypes.CDLL(None).prctl(4, *[ctypes.c_ulong(0)] * 4)
    line = socket.socket(fileno=control)
    os.write(control, b"up")  # not send: that call is denied here
    while True:
        data, ancillary, _flags, _address = line.recvmsg(16, socket.CMSG_SPACE(8))
        if not data:
            os._exit(0)
        if data != b"run" or not ancillary:
            continue
        numbers = array.array("i")
        numbers.frombytes(ancillary[0][2][:8])
        source, target = numbers
        child = os.fork()
        if child == 0:
            for number in range(3, 256):
                if number not in (source, target):
                    try:
                        os.close(number)
                    except OSError:
                        pass
            run(source, target, seccomp)
        os.close(source)
        os.close(target)
        os.write(control, json.dumps(_wait(child, line)).encode())


def _wait(child, line):
    """Wait for the child, or kill it when the parent says so; how it ended: [exit code or -signal, CPU seconds]."""
    process = os.pidfd_open(child)
    ready = select.select([process, line], [], [])[0]
    if process not in ready:
        line.recv(16)  # "kill", or the end of the connection
        os.kill(child, signal.SIGKILL)
    _pid, status, usage = os.wait4(child, 0)
    os.close(process)
    return [os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime]


if __name__ == "__main__":
    import base64

    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]), base64.b64decode(sys.argv[3]))
    once(base64.b64decode(sys.argv[3]))
