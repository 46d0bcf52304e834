"""`turnsmith record --site URL [--script FILE]`: browse a site and keep what was done as a demonstration.

A real Chromium opens; everything that is clicked and typed is recorded with a screenshot before each action, until the
window is closed or Ctrl-C is pressed. With --script, a headless one does what the file says, a line each:

    click Sign up              the link, button or list item of this text
    type Search = kettle       a text into the field of this label, then Enter
    scroll down | back | wait
    answer 42 EUR              ends the visit

runs/NAME has the trace. `turnsmith run pae --site URL --browsing NAME` proposes tasks from it.
"""

import asyncio
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from turnsmith.errors import UserError
from turnsmith.options import parse_options

if TYPE_CHECKING:
    from turnsmith.envs.browser.recorder import Recorder
    from turnsmith.envs.browser.session import BrowserSession
    from turnsmith.envs.browser.tab import Tab
    from turnsmith.trace.types import Call, Observation, Trace, Turn

    Visit = tuple[list[Turn], Observation, bool]
    """The turns, what was seen last, and whether an answer ended it."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to record.

    Attributes:
        site: the address to begin at.
        script: a file of what to do, in a headless browser; without it, a window opens and you browse.
        task: what you are about to do, in words; kept with the trace.
        allow: further hostnames that may be reached ("*.example.org": every subdomain, "*": every host).
        storage_state: a file of cookies and local storage, as Playwright saves it, to begin logged in.
        name: the run's folder is `runs/NAME`; a further recording of the same name is added to it.
        headless: record a browser without a window (for scripts that drive it from outside).
        seconds: stop after so many seconds without any action; 0 waits until the window is closed.
    """

    site: str
    script: Path | None = None
    task: str = ""
    allow: tuple[str, ...] = ()
    storage_state: str = ""
    name: str = ""
    headless: bool = False
    seconds: float = 0.0


def main(argv: list[str]) -> int:
    """Record one visit, and print what it holds."""
    options = parse_options(Options, argv, prog="turnsmith record", description=__doc__)
    host = urlsplit(options.site).hostname
    if host is None or not options.site.startswith(("http://", "https://")):
        raise UserError(f"--site {options.site}: not an http or https address.")
    name = options.name or f"browsing-{host}"
    lines = read_script(options.script) if options.script is not None else None
    from turnsmith.runs.run import Run

    with Run(Path("runs") / name, {"recipe": "record", "site": options.site}) as run:
        number = len(run.store.summaries())
        trace = asyncio.run(_record(options, lines, number))
        run.store.append(trace)
        run.report(status="done", recipe="record", summary=[])
    print(f"recorded {len(trace.turns)} actions as {trace.id} in runs/{name}")
    print(f"to look at it: turnsmith view runs/{name}")
    return 0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a script: where it stands, what to do, with what."""

    number: int
    verb: str
    target: str = ""
    text: str = ""


def read_script(path: Path) -> list[Line]:
    """The lines of a script; empty ones and those that begin with # are skipped.

    Raises:
        UserError: naming the line that cannot be read.
    """
    try:
        texts = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}).") from error
    lines = []
    for number, text in enumerate(texts, start=1):
        verb, _, rest = text.strip().partition(" ")
        rest = rest.strip()
        if not verb or verb.startswith("#"):
            continue
        label, equals, typed = rest.partition("=")
        if verb == "type" and equals and label.strip():
            lines.append(Line(number, verb, label.strip(), typed.strip()))
        elif (verb == "click" and rest) or (verb == "scroll" and rest in ("up", "down")):
            lines.append(Line(number, verb, rest))
        elif verb in ("back", "wait") and not rest:
            lines.append(Line(number, verb))
        elif verb == "answer":
            lines.append(Line(number, verb, text=rest or "done"))
        else:
            raise UserError(
                f"{path}, line {number}: {text.strip()!r} is none of: click TEXT, type LABEL = TEXT, "
                "scroll up|down, back, wait, answer TEXT."
            )
    if not lines:
        raise UserError(f"{path}: there is nothing to do in it.")
    return lines


async def _record(options: Options, lines: list[Line] | None, number: int) -> "Trace":
    from turnsmith.engine.sampling import turn_seed
    from turnsmith.envs.browser import BrowserEnvironment, ObservationConfig, OpenWeb
    from turnsmith.trace.types import Outcome, Task, Trace

    host = urlsplit(options.site).hostname or ""
    params: dict[str, object] = {"start_url": options.site}
    if options.allow:
        params["allow"] = list(options.allow)
    task = Task(f"browsing-{host}-{number:03d}", options.task or f"Browse {host}.", "browser", params)
    entered = (
        replace(task, params={**params, "storage_state": options.storage_state}) if options.storage_state else task
    )
    trace = Trace(task.id, task, policy="person", created_at=time.time(), info={"phase": "demonstrations"})
    seen = ObservationConfig(screenshot="marked")
    visible = lines is None and not options.headless
    browser = BrowserEnvironment(OpenWeb(), 1, seen, headless=not visible)
    async with browser as environment, environment.session() as session:
        first = await session.reset(entered, turn_seed(0, number))
        if lines is not None:
            turns, final, done = await _follow(session, first, lines, options.script)
        else:
            turns, final, done = await _watch(session, options)
    return replace(trace, turns=tuple(turns), final=final, outcome=Outcome.SUCCESS if done else Outcome.TRUNCATED)


async def _follow(session: "BrowserSession", seen: "Observation", lines: list[Line], script: Path | None) -> "Visit":
    """Do what a script says, through the same session that agents act through."""
    from turnsmith.agents.grammar import render
    from turnsmith.trace.types import Action, Turn

    turns: list[Turn] = []
    done = False
    for line in lines:
        call = call_of(line, seen, f"{script}, line {line.number}")
        said = f"Thought: {line.verb} {line.target} {line.text}".rstrip()
        action = Action(f"{said}\n{render(call)}", call)
        step = await session.step(action)
        if step.observation.error:
            raise UserError(f"{script}, line {line.number}: {step.observation.error}")
        turns.append(Turn(seen, action, info=step.info))
        seen, done = step.observation, step.done
        if done:
            break
    return turns, seen, done


def call_of(line: Line, seen: "Observation", place: str) -> "Call":
    """The call of a script's line on what is seen now.

    Raises:
        UserError: if nothing on the page has that text.
    """
    from turnsmith.tasks.propose.sketch import named
    from turnsmith.trace.types import Call

    if line.verb == "answer":
        return Call("answer", {"text": line.text})
    if line.verb == "scroll":
        return Call("scroll", {"direction": line.target, "target": "window"})
    if line.verb in ("back", "wait"):
        return Call("go_back" if line.verb == "back" else "wait")
    fields = line.verb == "type"
    elements = [e for e in seen.info.get("elements", ()) if (e["tag"] in ("input", "textarea", "select")) == fields]
    names = [(named(e), str(e.get("text", "")), str(e.get("placeholder", ""))) for e in elements]
    rows = list(zip(elements, names, strict=True))
    found = next((element for element, said in rows if line.target in said), None)
    if found is None:  # then the first whose name holds the words, in whatever case
        wanted = line.target.casefold()
        found = next((element for element, said in rows if any(wanted in words.casefold() for words in said)), None)
    if found is None:
        shown = ", ".join(dict.fromkeys(said[0] for said in names if said[0])) or "nothing"
        raise UserError(f"{place}: there is no {line.target!r} on the page. There is: {shown[:400]}.")
    if fields:
        return Call("type", {"mark": found["mark"], "text": line.text})
    return Call("click", {"mark": found["mark"]})


async def _watch(session: "BrowserSession", options: Options) -> "Visit":
    """Record what a person does until they close the window, press Ctrl-C, or do nothing for long enough."""
    from turnsmith.agents.grammar import render
    from turnsmith.envs.browser import ObservationConfig
    from turnsmith.envs.browser.recorder import Recorder
    from turnsmith.errors import InfraError

    recorder = Recorder(session.tab, ObservationConfig(screenshot="marked"), render)
    print(f"recording {options.site}: browse as you like; close the window (or press Ctrl-C here) when you are done.")
    try:
        await session.tab.guard(recorder.start())
        while True:
            turn = await _next(session.tab, recorder, options.seconds)
            if turn is None:
                break
            print(f"  {len(recorder.turns)}. {turn.action.text.splitlines()[-1]}")
    except (InfraError, KeyboardInterrupt, asyncio.CancelledError):
        pass  # the window was closed: what was recorded is kept
    return recorder.turns, recorder.observation, False


async def _next(tab: "Tab", recorder: "Recorder", seconds: float) -> "Turn | None":
    """The next turn, or None; raises `InfraError` when the window goes away."""
    waiting = asyncio.ensure_future(recorder.next(seconds or None))
    await asyncio.wait({waiting, tab.failure}, return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        waiting.cancel()
        raise tab.failure.result()
    return waiting.result()
