"""`turnsmith view [RUN…]`: a local web page over runs, with every turn's screenshot, action, credit and verdict.

RUN is a run folder or a name below runs/; without any, all runs below runs/ are shown, new ones as they appear. The
page answers on this machine only, and only to the link that is printed; from another machine, forward the port with
`ssh -L PORT:127.0.0.1:PORT HOST` and open the same link. With --report it writes report.html instead.
"""

import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from turnsmith.errors import UserError
from turnsmith.options import parse_options

DEFAULT_PORT = 8470


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line may say.

    Attributes:
        runs: run folders, or names below runs/ (default: all of them).
        port: the port to listen on (default: 8470, or any free one where that is taken).
        results: the folder of recorded claims.
        report: write report.html into each run instead of serving.
    """

    runs: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    port: int | None = None
    results: Path = Path("results")
    report: bool = False


def main(argv: list[str]) -> int:
    """Serve until Ctrl-C, or write reports."""
    options = parse_options(Options, argv, prog="turnsmith view", description=__doc__)
    if options.report:
        return _write_reports(list(options.runs))

    from turnsmith.view.runs import runs_to_show
    from turnsmith.view.serve import serve

    runs = runs_to_show(list(options.runs))
    if not runs.all():
        print("There are no runs in runs/ yet; they appear on the page as they start.", file=sys.stderr)
    serve(runs, _listen(options.port), options.results)
    return 0


def _write_reports(names: list[str]) -> int:
    from turnsmith.view.report import write_report
    from turnsmith.view.runs import runs_to_show

    for run in runs_to_show(names).all().values():
        print(write_report(run.path))
    return 0


def _listen(port: int | None) -> socket.socket:
    """A socket on loopback: on the port that was asked for, else on the usual one or any that is free."""
    for candidate in (DEFAULT_PORT, 0) if port is None else (port,):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", candidate))
            listener.listen(128)
            return listener
        except (OSError, OverflowError) as error:
            listener.close()
            reason = getattr(error, "strerror", None) or error
    raise UserError(f"port {port} cannot be used ({reason}). Choose another with --port, or leave it out.")
