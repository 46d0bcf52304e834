"""Task files: our own JSONL, WebVoyager's JSONL (also PAE's), and WebArena's configurations.

A row of our own format is a whole task as `save_tasks` writes it, or the short form that one types by hand:

    {"id": "stew-1", "instruction": "Find a stew for six.", "start_url": "https://example.org/"}

The short form may also hold "allow" (further hostnames), "cookies", "storage_state" (a login), "geolocation", "split"
and "hidden". Every complaint names file and line.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from turnsmith.errors import UserError
from turnsmith.jsonl import dump_row, read_json, read_jsonl
from turnsmith.tasks.webarena import PLACEHOLDERS, NoAddress, check_geolocation, fill_addresses, read_evaluation
from turnsmith.trace.codec import task_from_json, task_to_json
from turnsmith.trace.types import Task

_NEEDS = "Each task needs id, instruction and start_url; see docs/tasks.md."
_PARAMS = ("start_url", "allow", "cookies", "storage_state", "geolocation")  # of the short form, beside the params
_KINDS: dict[str, type] = {"params": dict, "provenance": dict, "hidden": dict, "split": str, "environment": str}


def save_tasks(tasks: Iterable[Task], path: str | Path) -> Path:
    """Write tasks as JSONL, hidden parts included; the file is replaced only when all of it is written.

    Raises:
        UserError: if the file cannot be written.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "w", encoding="utf-8") as file:
            file.writelines(dump_row(task_to_json(task)) + "\n" for task in tasks)
        os.replace(partial, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}).") from error
    return path


def load_tasks(path: str | Path) -> list[Task]:
    """Read a task file of any known format.

    Raises:
        UserError: if the file cannot be read or a task is not complete; the message names the line.
    """
    if _first_character(path) == "[":
        return load_webarena(path)
    rows = read_jsonl(path)
    if rows and "ques" in rows[0][1]:
        return _tasks(path, rows, _webvoyager_task)
    return _tasks(path, rows, _own_task)


def load_webvoyager(path: str | Path, references: str | Path | None = None) -> list[Task]:
    """Read WebVoyager's or PAE's tasks: rows with "web_name", "id", "ques" and "web" (PAE: optionally "eval").

    Args:
        path: the JSONL file.
        references: WebVoyager's reference answers; they go to `hidden["reference"]` as {"type", "answer", "notice"}.

    Raises:
        UserError: as `load_tasks`.
    """
    tasks = _tasks(path, read_jsonl(path), _webvoyager_task)
    if references is None:
        return tasks
    known = {}
    for site, entry in _json(references, dict).items():
        try:
            for answer in entry["answers"]:
                reference = {"type": answer["type"], "answer": answer["ans"], "notice": entry["notice"].strip()}
                known[f"{site}--{answer['id']}"] = reference
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{references}: the answers of {site!r} are not in WebVoyager's form ({error}).") from error
    return [_with_reference(task, known.get(task.id)) for task in tasks]


def _with_reference(task: Task, reference: Mapping[str, Any] | None) -> Task:
    if reference is None:
        return task
    return task_from_json({**task_to_json(task), "hidden": {**task.hidden, "reference": reference}})


def load_webarena(path: str | Path, urls: Mapping[str, str] | None = None) -> list[Task]:
    """Read WebArena's configurations: a JSON list with placeholders such as __SHOPPING__ for the sites.

    `params` hold "start_url" (the first tab), "start_urls" where there are several, "allow", "site", and WebArena's
    "storage_state" and "geolocation" where they are set; `hidden["eval"]` is the evaluator's part.

    Args:
        path: the JSON file.
        urls: addresses by site ("shopping", "shopping_admin", "reddit", "gitlab", "map", "wikipedia", "homepage");
            None takes them from the environment variables that WebArena uses (SHOPPING, ...).

    Raises:
        UserError: if the file is not in this form or a site that it uses has no address.
    """
    path = Path(path)
    rows = list(enumerate(_json(path, list), start=1))
    where = {number: f"{path}, task {number}" for number, _ in rows}
    urls = environment_urls() if urls is None else urls

    def make(row: Mapping[str, Any], place: str) -> Task:
        return _webarena_task(_with_urls(row, urls, place), place, urls)

    return _unique(((number, row) for number, row in rows), where, make)


def environment_urls() -> dict[str, str]:
    """The addresses of WebArena's sites by lower-case name, from the environment variables that WebArena uses."""
    return {name.lower(): url for name, url in os.environ.items() if name in PLACEHOLDERS and url}


def _with_urls(row: Any, urls: Mapping[str, str], place: str) -> dict[str, Any]:
    """A configuration with the addresses in place of the placeholders."""
    if not isinstance(row, dict):
        raise UserError(f"{place}: a configuration must be a JSON object.")
    try:
        return fill_addresses(row, urls)
    except NoAddress as error:
        raise UserError(f"{place}: {error}") from error


def _webarena_task(row: Mapping[str, Any], place: str, urls: Mapping[str, str]) -> Task:
    missing = [key for key in ("task_id", "intent", "start_url", "sites", "eval") if key not in row]
    if missing:
        raise UserError(f'{place}: "{missing[0]}" is missing; this is not a WebArena configuration.')
    tabs = [_url(url.strip(), place) for url in str(row["start_url"]).split(" |AND| ")]
    hosts = sorted({host for url in urls.values() if (host := urlsplit(url).hostname)})
    params = {"start_url": tabs[0], "allow": hosts, "site": row["sites"][0] if row["sites"] else ""}
    if len(tabs) > 1:
        params["start_urls"] = tabs
    try:
        read_evaluation(row["eval"])
        place_on_earth = check_geolocation(row.get("geolocation"))
    except ValueError as error:
        raise UserError(f"{place}: {error}.") from error
    if place_on_earth:
        params["geolocation"] = place_on_earth
    if state := row.get("storage_state"):
        if not isinstance(state, str | dict):
            raise UserError(f'{place}: "storage_state" must be the path of a file, or what such a file holds.')
        params["storage_state"] = state
    return Task(
        id=f"webarena-{row['task_id']}",
        instruction=_text(row["intent"], "intent", place),
        environment="browser",
        params=params,
        split="test",
        provenance={"source": "webarena", "template": row.get("intent_template_id"), "sites": row["sites"]},
        hidden={"eval": row["eval"]},
    )


def _webvoyager_task(row: Mapping[str, Any], place: str) -> Task:
    if "eval" in row:  # PAE's form of WebArena's tasks, whose addresses are placeholders
        row = _with_urls(row, environment_urls(), place)
    for key in ("id", "ques", "web"):
        if not row.get(key):
            raise UserError(f'{place}: "{key}" is missing. WebVoyager\'s tasks have web_name, id, ques and web.')
    # Real sites fetch from many hosts (pictures, scripts), so the allow-list is open.
    params = {"start_url": _url(row["web"], place), "allow": ["*"], "site": str(row.get("web_name", ""))}
    hidden = {"eval": row["eval"]} if row.get("eval") else {}
    provenance = {"source": "webvoyager"}
    return Task(str(row["id"]), _text(row["ques"], "ques", place), "browser", params, "test", provenance, hidden)


def _own_task(row: Mapping[str, Any], place: str) -> Task:
    row = dict(row)
    for key, kind in _KINDS.items():
        if key in row and not isinstance(row[key], kind):
            raise UserError(f'{place}: "{key}" must be {"an object" if kind is dict else "a text"}. {_NEEDS}')
    row.setdefault("environment", "browser")
    row["params"] = {**row.get("params", {}), **{key: row[key] for key in _PARAMS if key in row}}
    for key in ("id", "instruction"):
        if row.get(key) in (None, ""):
            raise UserError(f'{place}: "{key}" is missing. {_NEEDS}')
    row["id"] = str(row["id"])
    _text(row["instruction"], "instruction", place)
    params = row["params"]
    if row["environment"] == "browser" and not ("site" in params and "world" in params):
        if not params.get("start_url"):
            raise UserError(f'{place}: "start_url" is missing. {_NEEDS}')
        _url(params["start_url"], place)
    return task_from_json(row)


def _text(value: object, key: str, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UserError(f'{place}: "{key}" must be a text. {_NEEDS}')
    return value


def _url(value: object, place: str) -> str:
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise UserError(f"{place}: {value!r} is not an http or https address. {_NEEDS}")
    return str(value)


def _tasks(
    path: str | Path, rows: Sequence[tuple[int, dict[str, Any]]], make: Callable[[Mapping[str, Any], str], Task]
) -> list[Task]:
    return _unique(rows, {number: f"{path}, line {number}" for number, _ in rows}, make)


def _unique(
    rows: Iterable[tuple[int, Any]], where: Mapping[int, str], make: Callable[[Mapping[str, Any], str], Task]
) -> list[Task]:
    """The tasks of all rows; two of the same id are an error."""
    tasks: dict[str, Task] = {}
    lines: dict[str, str] = {}
    for number, row in rows:
        task = make(row, where[number])
        if task.id in tasks:
            raise UserError(
                f"{where[number]}: the id {task.id!r} is already that of {lines[task.id]}. Ids must differ."
            )
        tasks[task.id], lines[task.id] = task, where[number].rsplit(", ", 1)[1]
    return list(tasks.values())


def _first_character(path: str | Path) -> str:
    if str(path) == "-":
        return ""
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            return file.read(4096).lstrip()[:1]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error


def _json(path: str | Path, kind: type) -> Any:
    value = read_json(path)
    if not isinstance(value, kind):
        raise UserError(f"{path}: a JSON {'list' if kind is list else 'object'} is needed.")
    return value
