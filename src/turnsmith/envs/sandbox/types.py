"""The words of the sandbox: what bounds a program, and how it ended."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Plain: TypeAlias = "bool | int | float | str | list[Plain] | tuple[Plain, ...] | set[Plain] | dict[Plain, Plain] | None"
Function: TypeAlias = "Callable[..., Json]"
"""Lives outside and may be called from inside: JSON values in, a JSON value out. What it raises is raised inside."""


class Ending(StrEnum):
    """How a program, or one expression of it, ended. Only OK carries a value."""

    OK = "ok"
    SYNTAX = "syntax"
    """The text is not Python."""
    RAISED = "raised"
    """It raised an exception."""
    EXITED = "exited"
    """It left (`os._exit`, `sys.exit`) without an answer."""
    TIMEOUT = "timeout"
    """The clock on the wall, or the time of processor, ran out."""
    MEMORY = "memory"
    """It asked for more memory than it may have."""
    OUTPUT = "output"
    """It printed, returned or asked for more than is read."""
    NOT_PLAIN = "not_plain"
    """The value is not plain data: None, bool, int, float, str, list, tuple, dict, set, by exact type."""
    KILLED = "killed"
    """A signal ended it: a crash, or the system."""
    PROTOCOL = "protocol"
    """What came out of the sandbox was not an answer: the program wrote to the channel itself."""


class Tier(StrEnum):
    """What stands between a program and the machine."""

    NAMESPACES = "namespaces"
    """bubblewrap: no network, read-only root, another user, seccomp, limits."""
    PLAIN = "plain"
    """A process with limits, nothing else: it can read files and open sockets. Only on request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one program may use.

    Attributes:
        wall_seconds: by the clock, for everything; then it is killed.
        call_seconds: for loading the program, and for each expression (a program can fight this one, not the others).
        cpu_seconds: of processor time, whole seconds.
        memory_bytes: of address space.
        file_bytes: largest file it may write (and there is nowhere to write but a small private /tmp, if at all).
        open_files: descriptors.
        output_bytes: all that is read from it; more is OUTPUT.
        function_calls: how often it may call functions that live outside.
    """

    wall_seconds: float = 5.0
    call_seconds: float = 2.0
    cpu_seconds: int = 2
    memory_bytes: int = 512 * 2**20
    file_bytes: int = 2**20
    open_files: int = 32
    output_bytes: int = 2**16
    function_calls: int = 200

    def to_json(self) -> dict[str, Json]:
        """As the runner reads it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Reply:
    """One expression's end.

    Attributes:
        ending: OK, or what went wrong.
        value: the value, rebuilt outside from plain data; None where there is none.
        detail: what went wrong, in words.
    """

    ending: Ending
    value: Plain = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a program.

    Attributes:
        ending: OK where the program loaded and every expression has a value; else the first other ending.
        replies: one an expression, in order; those never reached have the ending that stopped the program.
        detail: what went wrong, in words.
        printed: the first 20,000 characters that it printed.
        calls: the functions outside that it called, by name, with arguments: (name, args, kwargs).
        seconds: by the clock.
        tier: what stood between it and the machine.
    """

    ending: Ending
    replies: tuple[Reply, ...] = ()
    detail: str = ""
    printed: str = ""
    calls: tuple[tuple[str, list[Json], Mapping[str, Json]], ...] = ()
    seconds: float = 0.0
    tier: Tier = Tier.NAMESPACES

    @property
    def value(self) -> Plain:
        """The value of the last expression; None where it has none."""
        return self.replies[-1].value if self.replies else None


class Runner(Protocol):
    """Runs programs: `Sandbox` and `SandboxPool` do."""

    def run(
        self,
        code: str,
        expressions: Sequence[str] = (),
        *,
        inputs: Mapping[str, Json] | None = None,
        functions: Mapping[str, Function] | None = None,
        limits: Limits | None = None,
    ) -> Result:
        """See `envs.sandbox.Sandbox.run`."""
        ...
