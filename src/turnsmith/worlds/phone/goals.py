"""The oracle of the phone: does what is on the screen, and what the phone holds, fit the goal of the task?

A goal is JSON with any of:
    "page": the page that must be shown, such as "settings/Battery" or "shoply.com/results"; several may be given.
    "query": what must have been searched there: the same words, in any order and case.
    "words": words that the searched text must hold, with at most four others.
    "place": the place of the opened item among its results, from 0.
    "facts": {area: value} that must hold on the phone, such as {"switch Bluetooth": "on"}, {"alarms": [..]}.
A blank page, a failed load and a human check show nothing that was asked for: their pages have names of their own.
"""

import re
from collections.abc import Mapping
from typing import Any

from turnsmith.worlds.phone.handset import View


def words(text: str) -> list[str]:
    """The words of a text, in lower case, sorted."""
    return sorted(re.findall(r"[\w-]+", text.casefold()))


def judge(goal: Mapping[str, Any], view: View, facts: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether everything that the goal names holds, and why (not) in a sentence."""
    pages = goal.get("page")
    if pages is not None and view.page not in ([pages] if isinstance(pages, str) else pages):
        return False, f"The screen shows {view.page!r}, not {pages!r}."
    if "query" in goal and words(view.query) != words(goal["query"]):
        return False, f"What was searched is {view.query!r}, not {goal['query']!r}."
    if "words" in goal:
        wanted, found = {word.casefold() for word in goal["words"]}, words(view.query)
        if not wanted <= set(found) or len(found) > len(wanted) + 4:
            return False, f"What was searched is {view.query!r}; it should be about {' and '.join(goal['words'])}."
    if "place" in goal and view.place != goal["place"]:
        return False, f"The opened item is number {view.place + 1} of the results, not {goal['place'] + 1}."
    for area, wanted in goal.get("facts", {}).items():
        if facts.get(area) != wanted:
            return False, f"On the phone, {area} is {facts.get(area)!r}, not {wanted!r}."
    return True, "The phone shows and holds what was asked for."
