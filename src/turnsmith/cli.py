"""The `turnsmith` command. Each verb is one file in `commands/`; only the one that was asked for is imported.

An error that the user can mend (`UserError`, an extra that is not installed) is one line on stderr and exit status 2.
Ctrl-C is 130. Everything else is a bug and keeps its traceback.
"""

import importlib
import os
import sys

from turnsmith import __version__
from turnsmith.errors import EXTRAS, UserError, disk_trouble, not_installed

# verb -> (module of `commands/`, what it does). `main(argv)` of that module runs it and returns the exit status.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "train a small web agent in real Chromium and show that it got better"),
    "run": ("run", "run a recipe: turnsmith run RECIPE --preset laptop"),
    "resume": ("resume", "go on with a run that was stopped"),
    "runs": ("runs", "list and remove runs"),
    "eval": ("eval", "evaluate a policy on tasks"),
    "record": ("record", "browse a site and keep it as a demonstration: turnsmith record --site URL"),
    "traces": ("traces", "list, show, export and import traces"),
    "credit": ("credit", "which turns of a run or of your logs made the difference"),
    "view": ("view", "look at runs in the browser: turnsmith view [RUN…]"),
    "results": ("results", "the table of recorded claims"),
    "bench": ("bench", "measure speed: turnsmith bench NAME"),
    "tasks": ("tasks", "verified tasks for your own tools: turnsmith tasks challenge"),
    "parse": ("parse", "parse model responses with an action grammar"),
    "verify": ("verify", "grade recorded answers with an environment's own checker"),
    "eeg": ("eeg", "gaze and cues from EEG recordings"),
    "cim": ("cim", "compute-in-memory: cells, chips, and trained models on them"),
    "doctor": ("doctor", "check this machine and say how to mend each gap"),
}


def usage() -> str:
    """The text of `turnsmith --help`."""
    lines = [f"turnsmith {__version__}: learn more from every interaction", "", "usage: turnsmith VERB [options]", ""]
    lines += [f"  {verb:9} {what}" for verb, (_, what) in COMMANDS.items()]
    lines += ["", "turnsmith VERB --help tells more."]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return the exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(__version__)
        return 0
    # "Loading weights", "Writing model shards": bars of libraries between ours. They are asked before these are loaded.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        _refuse_old_names()
        if arguments[0] not in COMMANDS:
            raise UserError(f"unknown verb {arguments[0]!r}. Verbs: {', '.join(COMMANDS)}.")
        module = importlib.import_module(f"turnsmith.commands.{COMMANDS[arguments[0]][0]}")
        return module.main(arguments[1:])
    except UserError as error:
        print(f"turnsmith: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"turnsmith: {_missing_extra(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("turnsmith: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except Exception as error:
        trouble = disk_trouble(error)
        if trouble is None:
            raise
        where = getattr(error, "filename", None)
        print(f"turnsmith: {f'{where}: ' if where else ''}could not write or read ({trouble}).", file=sys.stderr)
        return 2


def _missing_extra(error: ModuleNotFoundError) -> UserError:
    """A module of an extra that is not installed, as a line that says what to type; any other one is a bug."""
    module = (error.name or "").partition(".")[0]
    extra = next((extra for extra, modules in EXTRAS.items() if module in modules), None)
    if extra is None:
        raise error
    return not_installed([module], [extra])


def _refuse_old_names() -> None:
    """Environment variables of the project's former name, Turnwise, would be ignored in silence: say so instead."""
    for name in os.environ:
        if name.startswith("TURNWISE_"):
            raise UserError(f"the environment variable {name} is now TURNSMITH_{name[9:]}: rename it.")


if __name__ == "__main__":
    sys.exit(main())
