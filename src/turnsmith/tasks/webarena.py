"""What a WebArena configuration asks of an episode, as typed nouns: the `eval` part, read and checked.

An evaluation has one to three parts, and the score is their product:

| kind         | what must hold                                                                        |
|--------------|---------------------------------------------------------------------------------------|
| string_match | the answer, against exact, included or fuzzy references, or a reason why it cannot be |
| url_match    | the address of the last page                                                          |
| program_html | texts that JavaScript finds on pages, or a program of the benchmark                   |

The rules themselves are in `judges/webarena`. Here a configuration that says something else is refused by name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PLACEHOLDERS = ("SHOPPING", "SHOPPING_ADMIN", "REDDIT", "GITLAB", "MAP", "WIKIPEDIA", "HOMEPAGE")
"""Sites whose addresses stand as __NAME__ in configurations, and come from the environment variables of these names."""

KINDS = ("string_match", "url_match", "program_html")
_PLACEHOLDER = re.compile(rf"__({'|'.join(PLACEHOLDERS)})__")
_OR = " |OR| "
_PROGRAM = re.compile(r"func:\w+\(.*\)\s*", re.DOTALL)


class NoAddress(ValueError):
    """A site that a configuration uses has no address; `name` is the environment variable to set."""

    def __init__(self, name: str) -> None:
        super().__init__(f"__{name}__ has no address. Set the environment variable {name} to the site's URL.")
        self.name = name


def fill_addresses(value: Any, urls: Mapping[str, str]) -> Any:
    """A JSON value with addresses in place of the placeholders.

    Args:
        value: any part of a configuration.
        urls: addresses by site in lower case ("shopping", …); a slash at their end is dropped.

    Raises:
        NoAddress: if a placeholder has none.
    """

    def address(match: re.Match[str]) -> str:
        url = urls.get(match[1].lower(), "")
        if not url:
            raise NoAddress(match[1])
        return url.rstrip("/")

    if isinstance(value, str):
        return _PLACEHOLDER.sub(address, value)
    if isinstance(value, Mapping):
        return {key: fill_addresses(item, urls) for key, item in value.items()}
    if isinstance(value, list):
        return [fill_addresses(item, urls) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class References:
    """What the answer is compared with; all of it must hold.

    Attributes:
        exact: the whole answer, or None.
        include: each must be in the answer.
        fuzzy: the answer must mean the same as each of these, which somebody has to judge.
        unachievable: the task cannot be done: "N/A" is right, and so is an answer that gives the right reason.
        reason: that reason.
    """

    exact: str | None = None
    include: tuple[str, ...] = ()
    fuzzy: tuple[str, ...] = ()
    unachievable: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """One text to be found on a page.

    Attributes:
        url: where: an address, "last" for the agent's last page, or "func:…", a program that gives the address.
        locator: JavaScript that gives the text, "func:…", or "" for the whole page.
        exact: the whole text, or None.
        include: of each group, one alternative must be in the text.
        prepare: JavaScript to run first.
    """

    url: str
    locator: str
    exact: str | None = None
    include: tuple[tuple[str, ...], ...] = ()
    prepare: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that is asked of an episode; parts that `kinds` does not name are empty."""

    kinds: tuple[str, ...]
    references: References = References()
    urls: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()


def read_evaluation(row: object) -> Evaluation:
    """The `eval` part of a configuration.

    Raises:
        ValueError: if something is missing, or is not a rule of the benchmark.
    """
    if not isinstance(row, Mapping):
        raise ValueError('"eval" must be an object')
    kinds = row.get("eval_types")
    if not isinstance(kinds, list) or not kinds or any(kind not in KINDS for kind in kinds):
        raise ValueError(f'"eval_types" must list some of {", ".join(KINDS)}, not {kinds!r}')
    references, urls, targets = References(), (), ()
    if "string_match" in kinds:
        references = _references(row.get("reference_answers"), row.get("string_note"))
    if "url_match" in kinds:
        if row.get("url_note") not in (None, "GOLD in PRED"):
            raise ValueError(f'"url_note" is {row["url_note"]!r}; the one rule is "GOLD in PRED"')
        urls = tuple(_text(row.get("reference_url"), "reference_url").split(_OR))
    if "program_html" in kinds:
        found = row.get("program_html")
        if not isinstance(found, list) or not found:
            raise ValueError('"program_html" must be a list of targets')
        targets = tuple(_target(target) for target in found)
    return Evaluation(tuple(kinds), references, urls, targets)


def used(row: Mapping[str, Any]) -> dict[str, Any]:
    """An `eval` part without what its kinds do not ask for (whose placeholders need no addresses)."""
    needs = {
        "string_match": ("reference_answers", "string_note"),
        "url_match": ("reference_url", "url_note"),
        "program_html": ("program_html",),
    }
    kept = {"eval_types", *(key for kind in row["eval_types"] for key in needs[kind])}
    return {key: value for key, value in row.items() if key in kept}


def _references(row: object, note: object) -> References:
    if not isinstance(row, Mapping) or not row or set(row) - {"exact_match", "must_include", "fuzzy_match"}:
        raise ValueError('"reference_answers" must hold exact_match, must_include or fuzzy_match')
    fuzzy = row.get("fuzzy_match", [])
    unachievable = fuzzy == "N/A"
    return References(
        exact=_text(row["exact_match"], "exact_match") if "exact_match" in row else None,
        include=_texts(row.get("must_include", []), "must_include"),
        fuzzy=() if unachievable else _texts([fuzzy] if isinstance(fuzzy, str) else fuzzy, "fuzzy_match"),
        unachievable=unachievable,
        reason=note if isinstance(note, str) else "",
    )


def _target(row: object) -> Target:
    if not isinstance(row, Mapping):
        raise ValueError('a target of "program_html" must be an object')
    url, locator = _text(row.get("url"), "url"), row.get("locator")
    if not isinstance(locator, str):
        raise ValueError('"locator" must be a text')
    for name, value in (("url", url), ("locator", locator)):
        if value.startswith("func:") and not _PROGRAM.fullmatch(value):
            raise ValueError(f'"{name}" {value!r} is not a program of the form func:name(arguments)')
    if locator.strip() and not locator.startswith(("document.", "[...document.", "func:")):
        raise ValueError(f'"locator" {locator[:60]!r} is neither JavaScript on the document nor a program')
    required = row.get("required_contents")
    if not isinstance(required, Mapping) or len(required) != 1 or set(required) - {"exact_match", "must_include"}:
        raise ValueError('"required_contents" must hold exact_match or must_include')
    groups = _texts(required.get("must_include", []), "must_include")
    return Target(
        url,
        locator,
        exact=_text(required["exact_match"], "exact_match", empty=True) if "exact_match" in required else None,
        include=tuple(tuple(group.split(_OR)) for group in groups),
        prepare=_texts(row.get("prep_actions", []), "prep_actions"),
    )


def _text(value: object, name: str, empty: bool = False) -> str:
    if not isinstance(value, str) or not (value or empty):
        raise ValueError(f'"{name}" must be a text')
    return value


def _texts(value: object, name: str) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(item, str) for item in value):
        raise ValueError(f'"{name}" must be a list of texts')
    return tuple(value)


def check_geolocation(value: object) -> dict[str, float] | None:
    """A place on earth as Playwright wants it: {"latitude", "longitude", "accuracy"?} in degrees and metres; or None.

    Raises:
        ValueError: if it is something else.
    """
    if value is None:
        return None
    limits = {"latitude": 90.0, "longitude": 180.0, "accuracy": 1e7}
    if not isinstance(value, Mapping) or not {"latitude", "longitude"} <= set(value) <= set(limits):
        raise ValueError('"geolocation" must be {"latitude": degrees, "longitude": degrees}')
    for name, number in value.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= limits[name]:
            raise ValueError(f'"{name}" of "geolocation" is {number!r}')
    return {name: float(number) for name, number in value.items()}
