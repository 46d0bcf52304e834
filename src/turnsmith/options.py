"""Command-line options from a dataclass: `tyro.cli`, with a mistake as one line instead of a box of several."""

import contextlib
import io
import re
from collections.abc import Sequence
from typing import Any, TypeVar

from turnsmith.errors import UserError

T = TypeVar("T")

_RULE = re.compile(r"^[─━═\-]{3,}$")


def parse_options(options: type[T], argv: Sequence[str], *, prog: str, **more: Any) -> T:
    """An instance of `options`, filled from the command line. `--help` prints and exits, as usual.

    Args:
        options: a dataclass.
        argv: the arguments.
        prog: what stands before them, such as "turnsmith bench view".
        more: further arguments of `tyro.cli` (default, description).

    Raises:
        UserError: one line that says what is wrong and how to see all options.
    """
    import tyro

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            by_value = tyro.conf.EnumChoicesFromValues
            return tyro.cli(options, args=list(argv), prog=prog, config=(by_value, *more.pop("config", ())), **more)
    except SystemExit as error:
        if not error.code:
            raise
        raise UserError(f"{_one_line(said.getvalue())} All options: {prog} --help") from None


def _one_line(box: str) -> str:
    """What a box of tyro's says first, and the option that it suggests."""
    lines = [line.strip(" │|┃").strip() for line in box.splitlines()[1:-1]]
    rules = [index for index, line in enumerate(lines) if _RULE.match(line)]
    first = " ".join(lines[: rules[0] if rules else len(lines)]).strip().rstrip(".")
    meant = next((index for index, line in enumerate(lines) if line.startswith("Perhaps you meant")), None)
    suggestion = ""
    if meant is not None and meant + 1 < len(lines):
        suggestion = f" (perhaps {lines[meant + 1].split()[0]})"
    return f"{first}{suggestion}."
