"""What a course catalogue holds, and what a visitor of it has done."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from turnsmith.worlds.sites.kit import World, start_world
from turnsmith.worlds.sites.words import only

NOUNS = {
    "Physics": "Optics Mechanics Acoustics Magnetism Relativity Plasma Entropy Lasers Gravity Kinetics Fluids Quarks",
    "History": "Empires Castles Revolutions Maps Trade Pharaohs Vikings Treaties Migration Guilds Dynasties Archives",
    "Biology": "Genetics Ecology Botany Anatomy Fungi Evolution Zoology Cells Insects Neurons Microbes Enzymes",
    "Design": "Typography Layout Colour Ceramics Weaving Lighting Printing Posters Furniture Animation Sketching Icons",
    "Languages": "Grammar Phonetics Poetry Syntax Dialects Rhetoric Translation Spelling Proverbs Runes Idioms Verse",
}
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
LEVELS = ("Beginner", "Advanced")
SORTS = ("A to Z", "Shortest", "Longest")
WORDING = {
    "enrol": ("Enrol", "Sign up", "Join course"),
    "change": ("Change group", "Switch group", "Update group"),
    "drop": ("Drop course", "Leave course", "Cancel enrolment"),
    "requires": ("Requires", "Take first:", "Prerequisite:"),
    "leads": ("Leads to", "Prepares for", "Next:"),
    "mine": ("My courses", "Timetable", "My plan"),
}


@dataclass(frozen=True, slots=True)
class Lecturer:
    """Somebody who teaches; `facts` stand only on their own page."""

    id: int
    name: str
    facts: Mapping[str, str]

    @property
    def url(self) -> str:
        return f"/lecturer/{self.id}"


@dataclass(frozen=True, slots=True)
class Course:
    """A course. `groups` are weekdays; `requires` is the id of the course to take first; `facts` as elsewhere."""

    id: int
    name: str
    department: str
    level: str
    hours: int
    lecturer: Lecturer
    groups: tuple[str, ...]
    facts: Mapping[str, str]
    requires: int | None = None

    @property
    def url(self) -> str:
        return f"/course/{self.id}"


@dataclass(frozen=True, slots=True)
class CoursesWorld(World):
    """`courses` in alphabetical order."""

    courses: tuple[Course, ...] = ()
    lecturers: tuple[Lecturer, ...] = ()
    departments: tuple[str, ...] = ()

    @property
    def featured(self) -> tuple[Course, ...]:
        """What the front page shows."""
        return tuple(course for course in self.courses if course.id % 10 == 3)

    def numbered(self, number: int | None) -> Course | None:
        """The course with this id."""
        return next((course for course in self.courses if course.id == number), None)

    def listed(self, department: str, level: str = "", sort: str = "") -> list[Course]:
        """The courses of a department as its page lists them."""
        chosen = [course for course in self.courses if course.department == department and level in ("", course.level)]
        if sort in ("Shortest", "Longest"):
            chosen.sort(key=lambda one: one.hours, reverse=sort == "Longest")
        return chosen

    def chain(self, course: Course) -> list[Course]:
        """A course, what it requires, what that requires, and so on."""
        line = [course]
        while (before := self.numbered(line[-1].requires)) is not None:
            line.append(before)
        return line


def build(seed: int) -> CoursesWorld:
    """The catalogue of a world seed."""
    rng, names, base = start_world("courses", seed, WORDING)
    by_department = {one: only(nouns, names.split) for one, nouns in NOUNS.items()}
    since = rng.sample(range(1975, 2025), 14)
    lecturers = []
    for number, year in enumerate(since):
        facts = {
            "Office": f"{rng.choice('ABCDE')}{rng.randrange(100, 500)}",
            "Phone": str(rng.randrange(2000, 9999)),
            "Since": str(year),
            "Town": names.word(),
        }
        lecturers.append(Lecturer(60 + number, names.person(), facts))
    titles: list[tuple[str, str]] = []
    while len(titles) < 40:
        first = names.word()
        titles += [
            (f"{first} {rng.choice(by_department[department])}", department)
            for department in rng.sample(sorted(by_department), 2)
        ]
    titles.sort()
    ids = rng.sample(range(700, 700 + len(titles)), len(titles))
    hours, seats = rng.sample(range(6, 120), len(titles)), rng.sample(range(8, 240), len(titles))
    labels = rng.sample(("Seats", "Room", "Exam", "Language"), 4)
    courses = []
    for number, (title, department) in enumerate(titles):
        facts = {
            "Seats": str(seats[number]),
            "Room": f"{rng.choice('HKLMN')}{rng.randrange(10, 100)}",
            "Exam": rng.choice(("Written", "Oral", "Project", "Portfolio")),
            "Language": rng.choice(("English", "Danish", "Polish", "Dutch", "Finnish")),
        }
        courses.append(
            Course(
                id=ids[number],
                name=title,
                department=department,
                level=rng.choice(LEVELS),
                hours=hours[number],
                lecturer=rng.choice(lecturers),
                groups=tuple(rng.sample(DAYS, 3)),
                facts={label: facts[label] for label in labels},
            )
        )
    # Eight chains of three: the last two of each require the one before them.
    order = rng.sample(range(len(courses)), 24)
    for place, (one, after) in enumerate(pairwise(order), start=1):
        if place % 3:
            courses[after] = replace(courses[after], requires=courses[one].id)
    departments = tuple(rng.sample(sorted(NOUNS), len(NOUNS)))
    return CoursesWorld(base.seed, base.split, base.brand, base.theme, tuple(courses), tuple(lecturers), departments)


@dataclass
class CoursesState:
    """The courses that one visitor takes, with their groups."""

    enrolled: dict[str, str] = field(default_factory=dict)

    @classmethod
    def arrive(cls, world: CoursesWorld, setup: Mapping[str, Any]) -> "CoursesState":
        """A new visitor; `setup` may hold "enrolled": {course: group}."""
        return cls(dict(setup.get("enrolled", {})))

    def snapshot(self) -> dict[str, list[str]]:
        """All of it in words."""
        return {"enrolled": sorted(f"{course} on {group}" for course, group in self.enrolled.items())}
