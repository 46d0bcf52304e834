"""What one can be asked to do in the course catalogue."""

import random

from turnsmith.worlds.sites import draft, plan
from turnsmith.worlds.sites.courses.world import DAYS, LEVELS, Course, CoursesWorld
from turnsmith.worlds.sites.draft import Draft, number, phrase, reach, templates
from turnsmith.worlds.sites.hunt import Catalogue, Deed, hunts
from turnsmith.worlds.sites.plan import Place, Stage, act, found, place, read

EXTREMES = {"Shortest": ("shortest", "fewest-hours"), "Longest": ("longest", "most time-consuming")}


def open_course(world: CoursesWorld, rng: random.Random) -> Draft:
    """Find a course and stay on its page."""
    course = rng.choice(world.courses)
    wordings = "Open the course {x}.", "Go to the page of the course {x}.", "Show me the course {x}."
    return draft.opened(rng, course, "course", reach(course, world.featured), *wordings)


def course_fact(world: CoursesWorld, rng: random.Random) -> Draft:
    """A detail that stands only on the course's page."""
    course = rng.choice(world.courses)
    wordings = "What does the course {x} show as {l}?", "Find the {l} of {x}.", "Look up the course {x}: {l}?"
    steps = reach(course, world.featured) + world.theme.folded
    return draft.fact(rng, course, rng.choice(list(course.facts)), steps, *wordings)


def _lecturer(course: Course) -> Place:
    return place(course.lecturer.name, after=found(course.name))


def lecturer_fact(world: CoursesWorld, rng: random.Random) -> Draft:
    """A detail of whoever teaches a course: two pages deep."""
    course = rng.choice(world.courses)
    label = rng.choice(list(course.lecturer.facts))
    return Draft(
        phrase(
            rng,
            "What does the lecturer of {x} show as {l}?",
            "Find out who teaches {x} and tell their {l}.",
            l=label,
            x=course.name,
        ),
        [
            act(found(course.name), reach(course, world.featured)),
            read(_lecturer(course), label, 1 + world.theme.folded),
            plan.say_value(course.lecturer.name),
        ],
        [course.name, course.lecturer.name],
        answer=[course.lecturer.facts[label]],
    )


def _enrol(world: CoursesWorld, at: Place, course: Course, group: str, steps: int) -> Stage:
    return act(at, steps + (group != course.groups[0]) + 1, world.theme.words["enrol"], [(group, "")])


def _free(world: CoursesWorld) -> list[Course]:
    """The courses that require none."""
    return [course for course in world.courses if course.requires is None]


def enrol(world: CoursesWorld, rng: random.Random) -> Draft:
    """Take a course in a group."""
    course = rng.choice(_free(world))
    group = rng.choice(course.groups)
    return Draft(
        phrase(
            rng,
            "Enrol in {x} on {g}.",
            "Sign me up for the {g} group of {x}.",
            "Take the course {x}, group {g}.",
            x=course.name,
            g=group,
        ),
        [_enrol(world, found(course.name), course, group, reach(course, world.featured)), plan.say("done")],
        [course.name],
        state={"enrolled": [f"{course.name} on {group}"]},
    )


def enrol_two(world: CoursesWorld, rng: random.Random) -> Draft:
    """Take two courses."""
    courses = draft.pair(rng, _free(world))
    groups = [rng.choice(course.groups) for course in courses]
    before = (None, courses[0])
    stages = [
        _enrol(world, found(course.name), course, group, reach(course, world.featured, last))
        for course, group, last in zip(courses, groups, before, strict=True)
    ]
    x, y = (f"{course.name} on {group}" for course, group in zip(courses, groups, strict=True))
    return Draft(
        phrase(rng, "Enrol in {x} and in {y}.", "Sign me up for {x} and {y}.", x=x, y=y),
        [*stages, plan.say("done")],
        [course.name for course in courses],
        state={"enrolled": sorted((x, y))},
    )


def enrol_chain(world: CoursesWorld, rng: random.Random) -> Draft | None:
    """Take a course and everything that it requires: down the prerequisites, then up again."""
    chains = [chain for course in world.courses if len(chain := world.chain(course)) >= 2]
    options = [(chain, day) for chain in chains for day in DAYS if all(day in course.groups for course in chain)]
    if not options:
        return None
    chain, day = rng.choice(options)
    words = world.theme.words
    down = [found(chain[0].name)]
    for course in chain[1:]:
        down.append(place(course.name, [f"{words['requires']} {course.name}"], after=down[-1]))
    stages = [act(at, 1 if k else reach(chain[0], world.featured)) for k, at in enumerate(down[:-1])]
    stages.append(_enrol(world, down[-1], chain[-1], day, 1))
    for course in reversed(chain[:-1]):
        up = place(course.name, [f"{words['leads']} {course.name}"], search=True)
        stages.append(_enrol(world, up, course, day, 1))
    return Draft(
        phrase(
            rng,
            "Enrol in {x} and everything it requires, always on {g}.",
            "I want to take {x} on {g}. First enrol in what it requires, on {g} too.",
            x=chain[0].name,
            g=day,
        ),
        [*stages, plan.say("done")],
        [course.name for course in chain],
        state={"enrolled": sorted(f"{course.name} on {day}" for course in chain)},
    )


def first_course(world: CoursesWorld, rng: random.Random) -> Draft | None:
    """Follow the prerequisites of a course to the one that requires none."""
    chains = [chain for course in world.courses if len(chain := world.chain(course)) >= 2]
    chain = rng.choice(chains)
    places = [found(chain[0].name)]
    for course in chain[1:]:
        label = f"{world.theme.words['requires']} {course.name}"
        places.append(place(course.name, [label], after=places[-1]))
    stages = [act(at, 1 if k else reach(chain[0], world.featured)) for k, at in enumerate(places)]
    return Draft(
        phrase(
            rng,
            "Follow what {x} requires to the course that requires nothing. Stay there.",
            "Where does the way to {x} begin? Open the first course of its prerequisites.",
            x=chain[0].name,
        ),
        [*stages, plan.say("done")],
        [course.name for course in chain],
        page=f"course:{chain[-1].name}",
    )


def top_course(world: CoursesWorld, rng: random.Random) -> Draft | None:
    """The first of a department in some order."""
    department, sort = rng.choice(world.departments), rng.choice(sorted(EXTREMES))
    names = [course.name for course in world.listed(department, sort=sort)]
    listing = draft.sorted_list(department, sort, world.theme.words["sort"])
    wordings = "Which is the {w} course in {c} at {b}?", "At {b} College, what is the {w} {c} course?"
    return draft.first_of(rng, listing, names, *wordings, w=rng.choice(EXTREMES[sort]), c=department, b=world.brand)


def compare(world: CoursesWorld, rng: random.Random) -> Draft | None:
    """Two courses by their seats."""
    one, other = draft.pair(rng, world.courses)
    folded = world.theme.folded
    steps = [reach(one, world.featured) + folded, reach(other, world.featured, one) + folded]
    wordings = "Which course has the {w} number of {l}: {x} or {y}?", "Compare {x} and {y}: which has {w} {l}?"
    return draft.comparison(rng, (one, other), "Seats", steps, *wordings)


def compare_lecturers(world: CoursesWorld, rng: random.Random) -> Draft | None:
    """Two courses by how long their lecturers have been there: two pages deep, twice."""
    one, other = draft.pair(rng, world.courses)
    values = {course.name: number(course.lecturer.facts["Since"]) for course in (one, other)}
    if one.lecturer.name == other.lecturer.name:
        return None
    largest = rng.random() < 0.5
    stages: list[Stage] = []
    for course in (one, other):
        stages.append(act(found(course.name), reach(course, world.featured if course is one else ())))
        stages.append(read(_lecturer(course), "Since", 1 + world.theme.folded, into=course.name))
    return Draft(
        phrase(
            rng,
            "Whose lecturer has been there {w} (Since): {x} or {y}?",
            "Compare who teaches {x} and {y}: which lecturer's Since is {v}? Name the course.",
            w="less long" if largest else "longer",
            v="later" if largest else "earlier",
            x=one.name,
            y=other.name,
        ),
        [*stages, plan.say_extreme(list(values), largest)],
        [*values, one.lecturer.name, other.lecturer.name],
        answer=[draft.best(values, largest)],
    )


def survey(world: CoursesWorld, rng: random.Random) -> Draft | None:
    """The best of a filtered department by a detail that stands only on the courses' pages."""
    department, level = rng.choice(world.departments), rng.choice(LEVELS)
    return draft.survey(
        rng,
        draft.filtered_list(department, level),
        world.listed(department, level),
        "Seats",
        int(world.theme.folded),
        "Of the {k} courses in {c} at {b}, which has the {w} number of {l}?",
        "At {b} College, which {k} course in {c} has the {w} {l}?",
        k=level.lower(),
        c=department,
        b=world.brand,
    )


def _taken(world: CoursesWorld, rng: random.Random) -> dict[str, str]:
    """Three courses that a visitor already takes."""
    return {course.name: rng.choice(course.groups) for course in rng.sample(_free(world), 3)}


def drop_course(world: CoursesWorld, rng: random.Random) -> Draft:
    """Leave one of three courses."""
    taken = _taken(world, rng)
    gone = rng.choice(list(taken))
    mine = place(world.theme.words["mine"])
    return Draft(
        phrase(rng, "Leave the course {x}.", "I no longer want {x}: take me off it.", x=gone),
        [
            act(mine, 1),
            act(place(gone, after=mine), 2, world.theme.words["drop"]),
            plan.say("done"),
        ],
        list(taken),
        state={"enrolled": sorted(f"{name} on {group}" for name, group in taken.items() if name != gone)},
        setup={"enrolled": taken},
    )


def change_group(world: CoursesWorld, rng: random.Random) -> Draft:
    """Go to another group of a course that one already takes."""
    taken = _taken(world, rng)
    name = rng.choice(list(taken))
    course = next(course for course in world.courses if course.name == name)
    group = rng.choice([group for group in course.groups if group != taken[name]])
    mine = place(world.theme.words["mine"])
    return Draft(
        phrase(rng, "Move me to the {g} group of {x}.", "Change my group in {x} to {g}.", x=name, g=group),
        [
            act(mine, 1),
            act(place(name, after=mine), 3, world.theme.words["change"], [(group, "")]),
            plan.say("done"),
        ],
        list(taken),
        state={"enrolled": sorted(f"{one} on {group if one == name else day}" for one, day in taken.items())},
        setup={"enrolled": taken},
    )


def _enrolled(world: CoursesWorld, rng: random.Random, course: Course, at: Place) -> Deed | None:
    if course.requires is not None:
        return None
    day = rng.choice(course.groups)
    return f"enrol in it on {day}", _enrol(world, at, course, day, 0), {"enrolled": [f"{course.name} on {day}"]}


CATALOGUE = Catalogue("course", "course", lambda world: world.departments, CoursesWorld.listed, _enrolled)
TEMPLATES = hunts(CATALOGUE) | templates(
    open_course,
    course_fact,
    lecturer_fact,
    enrol,
    enrol_two,
    enrol_chain,
    first_course,
    top_course,
    compare,
    compare_lecturers,
    survey,
    held_out=[drop_course, change_group],
)
