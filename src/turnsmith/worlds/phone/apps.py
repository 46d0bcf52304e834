"""The phone's own apps: launcher, settings, clock, mail, contacts, and those that open and show little."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from turnsmith.worlds.phone.handset import Handset, View
from turnsmith.worlds.phone.layout import icons, layout
from turnsmith.worlds.phone.words import APPS, CITIES, draw

Shown = tuple[str, View, dict[str, Any]]

SECTIONS: dict[str, tuple[str, ...]] = {
    "Network": ("Wi-Fi", "Airplane mode"),
    "Connected devices": ("Bluetooth",),
    "Display": ("Dark theme", "Auto-rotate"),
    "Sound": ("Do not disturb", "Vibration"),
    "Battery": ("Battery saver",),
    "Location": ("Location",),
    "Date and time": ("Automatic time",),
    "Apps": (),
    "Storage": (),
    "Languages": (),
    "Security": (),
    "About phone": (),
}
"""The settings' sections and what can be switched in each."""

_ABOUT: dict[str, tuple[tuple[str, str], ...]] = {
    "Storage": (("Used", "41 GB of 64 GB"), ("Photos", "18 GB"), ("Apps", "12 GB")),
    "Languages": (("System language", "English"), ("Keyboard", "QWERTY")),
    "Security": (("Screen lock", "None"), ("Fingerprint", "Not set up")),
    "About phone": (("Model", "Pocket 4"), ("Version", "11"), ("Serial number", "K7-22914")),
    "Battery": (("Charge", "82 %"), ("Time left", "about 14 hours")),
    "Network": (("Carrier", "Freetel"), ("Network", "HomeNet")),
}
TIMERS = (1, 3, 5, 10, 15, 20, 30, 45)


def launcher(phone: Handset, rest: str) -> Shown:
    """The home screen, or ("all") the drawer with every app."""
    traits = layout("launcher", phone.day)
    grid, dock = icons(phone.day)
    if rest == "all":
        return "drawer.html", View("drawer"), {"apps": sorted(APPS)}
    return "launcher.html", View("launcher"), {"traits": traits, "grid": grid, "dock": dock, "time": phone.world.time}


def settings(phone: Handset, rest: str) -> Shown:
    """The list of sections, a section, the list of apps ("Apps"), or the settings of one app ("Apps/Maps")."""
    traits = layout("settings", phone.day)
    section, _, app = rest.partition("/")
    if app in APPS:
        rows = (("Permissions", "None granted"), ("Storage", f"{20 + len(app) * 7} MB"), ("Notifications", "On"))
        return "settings_page.html", View(f"settings/Apps/{app}"), {"title": app, "switches": [], "rows": rows}
    if section == "Apps":
        links = [(name, f"/settings/Apps/{name}") for name in sorted(APPS)]
        return "settings_list.html", View("settings/Apps"), {"title": "Apps", "links": links, "traits": traits}
    if section in SECTIONS:
        switches = [(name, phone.switches[name] == "on") for name in SECTIONS[section]]
        rows = _ABOUT.get(section, ())
        return "settings_page.html", View(f"settings/{section}"), {"title": section, "switches": switches, "rows": rows}
    names = list(SECTIONS)
    if traits["order"] != "a":
        draw("settings", traits["order"]).shuffle(names)
    links = [(name, f"/settings/{name}") for name in names]
    return "settings_list.html", View("settings"), {"title": "Settings", "links": links, "traits": traits}


def clock(phone: Handset, rest: str) -> Shown:
    """One of the tabs ("alarms", "world", "timer", "stopwatch"), or "new" (an alarm), or "add" (a city)."""
    values: dict[str, Any] = {"traits": layout("clock", phone.day), "now": phone.world.time, "tab": rest or "alarms"}
    if rest == "new":
        return "clock_new.html", View("clock/new"), values
    if rest == "add":
        return "clock_add.html", View("clock/add"), {**values, "names": sorted(CITIES)}
    if rest not in ("world", "timer", "stopwatch"):
        return (
            "clock.html",
            View("clock/alarms"),
            {**values, "tab": "alarms", "alarms": sorted(phone.alarms, key=_when)},
        )
    if rest == "world":
        return "clock.html", View("clock/world"), {**values, "cities": phone.cities}
    more = {"timers": phone.timers, "choices": TIMERS, "running": phone.running}
    return "clock.html", View(f"clock/{rest}"), {**values, **more}


def _when(alarm: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+):(\d+) ([AP])M", alarm)
    if found is None:
        return (99, 0)
    return int(found[1]) % 12 + 12 * (found[3] == "P"), int(found[2])


def mail(phone: Handset, rest: str, query: Mapping[str, str]) -> Shown:
    """The inbox (searched by "q"), a mail by its place, "write", or "search"."""
    traits = layout("mail", phone.day)
    mails = [(at, one) for at, one in enumerate(phone.world.mails) if one.subject not in phone.deleted]
    if rest == "write":
        return "mail_write.html", View("mail/write"), {}
    if rest.isdigit() and any(at == int(rest) for at, _ in mails):
        one = phone.world.mails[int(rest)]
        values = {"at": int(rest), "mail": one, "starred": one.subject in phone.starred}
        return "mail_read.html", View(f"mail/{one.subject}"), values
    asked = query.get("q", "").strip().lower()
    mails = [(at, one) for at, one in mails if asked in f"{one.sender} {one.subject}".lower()]
    searching = rest == "search"
    view = View("mail/search" if searching else "mail", asked)
    values = {"traits": traits, "mails": mails, "starred": phone.starred, "searching": searching, "asked": asked}
    return "mail.html", view, values


def contacts(phone: Handset, rest: str) -> Shown:
    """The list, "search", "new", a card by name, or "call/NAME"."""
    traits = layout("contacts", phone.day)
    if rest == "new":
        return "contacts_new.html", View("contacts/new"), {}
    called = rest.removeprefix("call/")
    if called != rest and called in phone.contacts:
        return "contacts_call.html", View(f"call/{called}"), {"name": called, "number": phone.contacts[called]}
    if rest in phone.contacts:
        return "contacts_card.html", View(f"contacts/{rest}"), {"name": rest, "number": phone.contacts[rest]}
    values = {"traits": traits, "people": sorted(phone.contacts), "searching": rest == "search"}
    return "contacts.html", View("contacts/search" if rest == "search" else "contacts"), values


def plain(phone: Handset, app: str) -> Shown:
    """An app that shows little."""
    return "plain.html", View(f"app/{app}"), {"app": app}


def _settings(phone: Handset, verb: str, fields: Mapping[str, str]) -> None:
    name = fields.get("name", "")
    if name in phone.switches:
        phone.switches[name] = "off" if phone.switches[name] == "on" else "on"


def _clock(phone: Handset, verb: str, fields: Mapping[str, str]) -> None:
    match verb:
        case "save" if all(fields.get(key) for key in ("hour", "minute", "half")):
            phone.alarms.append(f"{fields['hour']}:{fields['minute']} {fields['half']}")
        case "drop" if fields.get("alarm") in phone.alarms:
            phone.alarms.remove(fields["alarm"])
        case "city" if fields.get("name") in CITIES:
            phone.cities.append(fields["name"])
        case "timer" if fields.get("minutes", "").isdigit():
            phone.timers.append(f"{int(fields['minutes'])} min")
        case "stopwatch":
            phone.running = not phone.running


def _mail(phone: Handset, verb: str, fields: Mapping[str, str]) -> None:
    if verb == "send":
        phone.sent.append(f"{fields.get('to', '').strip()}: {fields.get('subject', '').strip()}")
        return
    at = int(fields["at"]) if fields.get("at", "").isdigit() else -1
    if 0 <= at < len(phone.world.mails):
        subject = phone.world.mails[at].subject
        if verb == "star":
            phone.starred ^= {subject}
        elif verb == "delete":
            phone.deleted.add(subject)


def _contacts(phone: Handset, verb: str, fields: Mapping[str, str]) -> None:
    name = " ".join(fields.get("name", "").split())
    if verb == "call" and name in phone.contacts:
        phone.calls.append(name)
    elif verb == "save" and name:
        phone.contacts[name] = fields.get("number", "").strip()


DO: dict[str, Callable[[Handset, str, Mapping[str, str]], None]] = {
    "settings": _settings,
    "clock": _clock,
    "mail": _mail,
    "contacts": _contacts,
}
"""What a button of an app does: (phone, verb, fields)."""

THEN = {
    ("clock", "save"): "/clock/alarms",
    ("clock", "drop"): "/clock/alarms",
    ("clock", "city"): "/clock/world",
    ("clock", "timer"): "/clock/timer",
    ("clock", "stopwatch"): "/clock/stopwatch",
    ("mail", "send"): "/mail",
    ("mail", "delete"): "/mail",
}
"""Where a button leads; every other stays on its page."""
