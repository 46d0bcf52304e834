"""How a script solves some MiniWoB++ pages: for each, the next call for a scene.

Solvers keep no state: what was done already shows in the scene. They know how a page of their name goes, like somebody
who has played it before, but not its answers.
"""

import re
from calendar import month_name
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise

from turnsmith.trace.types import Call
from turnsmith.worlds.miniwob.scene import WAIT, Element, Scene, Stuck, click, type_into

Solver = Callable[[Scene], Call]

MONTHS = list(month_name)[1:]


def fill(scene: Scene, values: Sequence[tuple[Element, str]], submit: Element) -> Call:
    """The first field that does not hold its value is filled; then comes the button. Passwords show their length."""
    for field, value in values:
        shown = "•" * len(value) if field.type == "password" else value
        if field.text != shown:
            return type_into(field, value)
    return click(submit)


# ---- buttons and links


def only_button(scene: Scene) -> Call:
    """There is one button."""
    return click(scene.tagged("button")[0])


def quoted_button(scene: Scene) -> Call:
    """The button whose name the goal quotes."""
    return click(scene.named(scene.quoted[0], "button"))


def buttons_in_order(scene: Scene) -> Call:
    """Buttons named ONE and TWO, in the order in which the goal names them."""
    return click(scene.named(re.findall(r"button (\w+)", scene.goal)[len(scene.past)], "button"))


def quoted_text(scene: Scene) -> Call:
    """Whatever shows the quoted text."""
    return click(scene.named(scene.quoted[0]))


def dialog_close(scene: Scene) -> Call:
    """The cross in the corner of a dialog is a button called Close."""
    wanted = scene.quoted[0]
    return click(scene.named("Close" if wanted == "x" else wanted, "button"))


def tab_by_name(scene: Scene) -> Call:
    """Click on Tab #2."""
    return click(scene.named(*scene.read(r"Click on (Tab #\d)")))


def link_behind_tabs(scene: Scene) -> Call:
    """Go through the tabs until the link is seen."""
    if scene.shows(scene.quoted[0]):
        return click(scene.named(scene.quoted[0], "span"))
    tabs = [element for element in scene.elements if element.tag == "a" and re.fullmatch(r"(Tab #)?\d", element.text)]
    return click(tabs[len(scene.past) % len(tabs)])


def link_behind_sections(scene: Scene) -> Call:
    """Open the sections, one after the other, until the link is seen. They have no marks, only lines in the tree."""
    if scene.shows(scene.quoted[0]):
        return click(scene.named(scene.quoted[0], "span"))
    sections = [line for line in scene.lines if line.role == "tab"]
    return click(sections[len(scene.past) % len(sections)])


def open_section(scene: Scene) -> Call:
    """Open the one section, then submit."""
    section, _ = scene.line("tab", r"^Section #")
    return click(scene.named("Submit") if "expanded: True" in section.properties else section)


def widget(scene: Scene) -> Call:
    """Any widget of the kind that the goal names."""
    kind = scene.quoted[0]
    found = scene.tagged("button") if kind == "button" else scene.of_type(kind)
    return click(found[0])


def file_tree(scene: Scene) -> Call:
    """Open folders from the top until the name is seen. A folder has a second mark, the cross before its name."""
    wanted = scene.quoted[0]
    if scene.shows(wanted):
        return click(scene.named(wanted))
    seen: list[str] = []
    for before, element in pairwise(scene.elements):
        if before.text or not element.text:
            continue
        if seen.count(element.text) >= scene.clicked.count(element.text):
            return click(element)
        seen.append(element.text)
    raise Stuck("every folder is open")


# ---- boxes to tick, lists


def tick(scene: Scene) -> Call:
    """Tick what the goal lists, then submit."""
    (listed,) = scene.read(r"^Select (.*) and click Submit")
    for name in [] if listed == "nothing" else listed.split(", "):
        box = scene.named(name, "input")
        if box.text == "unchecked":
            return click(box)
    return click(scene.named("Submit"))


def choose_from_list(scene: Scene) -> Call:
    """A drop-down list takes the option's name."""
    (name,) = scene.read(r"^Select (.*) from the list")
    lists = scene.tagged("select")
    return click(scene.named("Submit")) if lists[0].text == name else type_into(lists[0], name)


def form_sequence_2(scene: Scene) -> Call:
    """One of three radio buttons, a number into one of three fields."""
    radio, number, field = scene.read(r'the (\d)\w+ radio button and enter the number "(.*)" into the (\d)\w+ textbox')
    button = scene.of_type("radio")[int(radio) - 1]
    if button.text == "unchecked":
        return click(button)
    return fill(scene, [(scene.of_type("text")[int(field) - 1], number)], scene.named("Submit"))


# ---- fields


def enter_quoted(scene: Scene) -> Call:
    """The quoted text goes into every field."""
    submit = scene.named("Submit", "button")
    return fill(scene, [(field, scene.quoted[0]) for field in scene.fields], submit)


def enter_cased(scene: Scene) -> Call:
    """The quoted text in upper or lower case."""
    text = scene.quoted[0].upper() if "upper case" in scene.goal else scene.quoted[0].lower()
    return fill(scene, [(scene.fields[0], text)], scene.named("Submit"))


def log_in(scene: Scene) -> Call:
    """User name and password; a pop-up in between is cancelled."""
    if scene.shows("Cancel"):
        return click(scene.named("Cancel"))
    return fill(scene, list(zip(scene.fields, scene.quoted, strict=True)), scene.tagged("button")[-1])


def enter_date(scene: Scene) -> Call:
    """A date field takes year, month, day."""
    month, day, year = scene.read(r"(\d\d)/(\d\d)/(\d{4})")
    return fill(scene, [(scene.fields[0], f"{year}-{month}-{day}")], scene.named("Submit"))


def enter_time(scene: Scene) -> Call:
    """A time field takes hours from 00 to 23 and minutes."""
    (time,) = scene.read(r"Enter (\d+:\d\d [AP]M)")
    hours_minutes = datetime.strptime(time, "%I:%M %p").strftime("%H:%M")
    return fill(scene, [(scene.fields[0], hours_minutes)], scene.named("Submit"))


def focus(scene: Scene) -> Call:
    """A click puts the cursor into a field."""
    ordinal = re.search(r"the (\d)\w\w input", scene.goal)
    return click(scene.fields[int(ordinal[1]) - 1 if ordinal else 0])


def copy_paste(scene: Scene) -> Call:
    """The text of a text area goes into the field, to the last blank."""
    ordinal = re.search(r"the (\d)\w\w text area", scene.goal)
    source = scene.of_type("textarea")[int(ordinal[1]) - 1 if ordinal else 0]
    return fill(scene, [(scene.fields[0], source.text)], scene.named("Submit"))


def read_table(scene: Scene) -> Call:
    """The cell after the one that is named."""
    (name,) = scene.read(r"the value of (.*) into")
    cells = [element.text for element in scene.tagged("td")]
    return fill(scene, [(scene.fields[0], cells[cells.index(name) + 1])], scene.named("Submit"))


def movie_search(scene: Scene) -> Call:
    """Three fields; the tree says which heading stands before which field."""
    genre, director, year = scene.read(r"for (.*) movies directed by (.*) from year (\d+)")
    values = {"Genre": genre, "Director": director, "Year": year}
    fields, heading = [], ""
    for line in scene.lines:
        if line.role == "rowheader":
            heading = line.name
        elif line.role == "textbox" and heading in values:
            fields.append((scene.elements[line.number], values[heading]))
    if len(fields) != len(values):
        raise Stuck("not every field has a heading")
    return fill(scene, fields, scene.elements[-1])


def autocomplete(scene: Scene) -> Call:
    """Type how the item starts, then take a suggestion that ends as it should."""
    start, end = scene.quoted[0], scene.quoted[1] if len(scene.quoted) > 1 else ""
    field = scene.fields[0]
    if field.text.startswith(start) and field.text.endswith(end) and scene.past[-1].name == "click":
        return click(scene.named("Submit"))
    for item in scene.elements:
        if item.tag in ("li", "div") and item.text.startswith(start) and item.text.endswith(end):
            return click(item)
    return WAIT if scene.past and scene.past[-1].name == "type" else type_into(field, start)


def spinner(scene: Scene) -> Call:
    """The arrows are two links without a name: up comes first."""
    wanted, shown = int(*scene.read(r"Select (-?\d+)")), int(scene.fields[0].text)
    up, down = scene.tagged("a")
    return click(scene.named("Submit")) if wanted == shown else click(up if wanted > shown else down)


def pick_date(scene: Scene) -> Call:
    """Open the calendar, go to the month, click the day."""
    month, day, year = scene.read(r"(\d\d)/(\d\d)/(\d{4})")
    field = scene.fields[0]
    if field.text == f"{month}/{day}/{year}":
        return click(scene.named("Submit"))
    if not scene.tagged("a"):
        return click(field)
    shown = next(MONTHS.index(line.name) + 1 for line in scene.lines if line.name in MONTHS)
    if shown == int(month):
        return click(scene.named(str(int(day)), "a"))
    return click(scene.named("Next" if shown < int(month) else "Prev"))


# ---- reading and reckoning


def find_word(scene: Scene) -> Call:
    """The n-th word of the paragraph, without punctuation."""
    (position,) = scene.read(r"the (\d+)\w\w word")
    texts = [line.name for line in scene.lines if line.role == "StaticText" and line.name not in scene.goal]
    word = re.sub(r"[^A-Za-z]", "", max(texts, key=len).split()[int(position) - 1])
    return fill(scene, [(scene.fields[0], word)], scene.named("Submit"))


def arithmetic(scene: Scene) -> Call:
    """Two digits and a sign."""
    _, sum_ = scene.line("StaticText", r"^(\d+) ([-+x]) (\d+) =$")
    left, right = int(sum_[1]), int(sum_[3])
    answer = {"+": left + right, "-": left - right, "x": left * right}[sum_[2]]
    return fill(scene, [(scene.fields[0], str(answer))], scene.named("Submit"))


def algebra(scene: Scene) -> Call:
    """x + a = b, x - a = b, a + x = b or a - x = b."""
    _, sum_ = scene.line("StaticText", r"^(x|\d+) ([-+]) (x|\d+) = (-?\d+)$")
    result = int(sum_[4])
    if sum_[1] == "x":
        answer = result - int(sum_[3]) if sum_[2] == "+" else result + int(sum_[3])
    else:
        answer = result - int(sum_[1]) if sum_[2] == "+" else int(sum_[1]) - result
    return fill(scene, [(scene.fields[0], str(answer))], scene.named("Submit"))


def guess(scene: Scene) -> Call:
    """Start in the middle and follow the hints one by one. Enter submits a guess."""
    if not scene.past:
        return type_into(scene.fields[0], "5")
    last = int(scene.past[-1].arguments["text"])
    higher = any("higher than" in line.name for line in scene.lines)
    return type_into(scene.fields[0], str(last + 1 if higher else last - 1))


def generate_number(scene: Scene) -> Call:
    """Generate until the number fits."""
    shown = [line.name for line in scene.lines if line.role == "StaticText" and re.fullmatch(r"\d+", line.name)]
    if shown:
        number, bound = int(shown[-1]), int((re.findall(r"\d+", scene.goal) or [0])[0])
        fits = {
            "less": number < bound,
            "greater": number > bound,
            "odd": number % 2 == 1,
            "even": number % 2 == 0,
        }
        if next(fit for word, fit in fits.items() if word in scene.goal):
            return click(scene.named("Submit"))
    return click(scene.named("Generate"))


# ---- sites in small: search, contacts, mail


def search_engine(scene: Scene) -> Call:
    """Search, go to the page of the result (three on each), click it."""
    name, position = scene.read(r'enter "(.*)" and press "Search", then find and click the (\d)')
    results = [element for element in scene.tagged("a") if not re.fullmatch(r"[\d<>]+", element.text)]
    if not results:
        return fill(scene, [(scene.fields[0], name)], scene.named("Search"))
    page, index = divmod(int(position) - 1, 3)
    if page and str(page + 1) not in scene.clicked:
        return click(scene.named(str(page + 1), "a"))
    return click(results[index])


def phone_book(scene: Scene) -> Call:
    """Turn the pages until the heading is the person, then click phone, email or address."""
    person, wanted = scene.read(r"Find (.*) in the contact book and click on their (phone|email|address)")
    if scene.line("heading")[0].name != person:
        return click(scene.named(">"))
    return click(scene.tagged("a")[("phone", "email", "address").index(wanted)])


def mail(scene: Scene) -> Call:
    """Trash, star or forward the mail of one sender.

    In the inbox a mail has five marks: sender, subject, beginning, and, without a text, trash and star. While the icons
    are not loaded yet, their places are slivers, and a click there opens the mail; its first mark closes it again.
    While one is forwarded, the second mark sends it. (An answer is out of reach: Enter puts a line break at its end.)
    """
    (sender,) = scene.read(r"email by (.+?) and ")
    if scene.shows("Forward"):
        return click(scene.named("Forward") if "forward" in scene.goal else scene.elements[0])
    if scene.of_type("textarea"):
        (recipient,) = scene.read(r"forward that email to (.+)\.$")
        return fill(scene, [(scene.fields[0], recipient)], scene.elements[1])
    if not scene.shows(sender):
        return Call("scroll", {"direction": "down", "target": scene.elements[-1].mark})
    at = scene.named(sender).mark
    step = 3 if "trash" in scene.goal else 4 if "star" in scene.goal else 0
    if at + step >= len(scene.elements):
        return Call("scroll", {"direction": "down", "target": at})
    if step and (scene.elements[at + step].text or scene.elements[at + step].box[2] < 8):
        return WAIT
    return click(scene.elements[at + step])


SOLVERS: dict[str, Solver] = {
    "choose-date": pick_date,
    "choose-date-easy": pick_date,
    "choose-date-medium": pick_date,
    "choose-date-nodelay": pick_date,
    "choose-list": choose_from_list,
    "click-button": quoted_button,
    "click-button-sequence": buttons_in_order,
    "click-checkboxes": tick,
    "click-checkboxes-large": tick,
    "click-checkboxes-transfer": tick,
    "click-collapsible": open_section,
    "click-collapsible-2": link_behind_sections,
    "click-collapsible-2-nodelay": link_behind_sections,
    "click-collapsible-nodelay": open_section,
    "click-dialog": dialog_close,
    "click-dialog-2": dialog_close,
    "click-link": quoted_text,
    "click-option": tick,
    "click-tab": tab_by_name,
    "click-tab-2": link_behind_tabs,
    "click-tab-2-easy": link_behind_tabs,
    "click-tab-2-hard": link_behind_tabs,
    "click-tab-2-medium": link_behind_tabs,
    "click-test": only_button,
    "click-test-2": buttons_in_order,
    "click-test-transfer": buttons_in_order,
    "click-widget": widget,
    "copy-paste": copy_paste,
    "copy-paste-2": copy_paste,
    "email-inbox-delete": mail,
    "email-inbox-forward": mail,
    "email-inbox-important": mail,
    "enter-date": enter_date,
    "enter-password": enter_quoted,
    "enter-text": enter_quoted,
    "enter-text-2": enter_cased,
    "enter-text-dynamic": enter_quoted,
    "enter-time": enter_time,
    "find-word": find_word,
    "focus-text": focus,
    "focus-text-2": focus,
    "form-sequence-2": form_sequence_2,
    "generate-number": generate_number,
    "guess-number": guess,
    "login-user": log_in,
    "login-user-popup": log_in,
    "multi-orderings": movie_search,
    "navigate-tree": file_tree,
    "phone-book": phone_book,
    "read-table": read_table,
    "search-engine": search_engine,
    "simple-algebra": algebra,
    "simple-arithmetic": arithmetic,
    "unicode-test": quoted_button,
    "use-autocomplete": autocomplete,
    "use-autocomplete-nodelay": autocomplete,
    "use-spinner": spinner,
}
"""By page."""
