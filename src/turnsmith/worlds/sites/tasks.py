"""From templates to tasks: `make_task` for one, `generate` for a split.

A task is decided by site, template, world and index: the same four always give the same task. Splits differ in their
worlds, hence in every name (words.py), and the split "test_templates" holds the templates that no other split has.
"""

import random
from collections.abc import Sequence
from itertools import cycle

from turnsmith.errors import UserError
from turnsmith.trace.types import Task
from turnsmith.worlds.sites import SITES
from turnsmith.worlds.sites.plan import needed_steps
from turnsmith.worlds.sites.words import WORLDS

_TRIES = 60  # for one new task of one template; some worlds have no instance of some templates


def make_task(site: str, template: str, world: int, index: int) -> Task | None:
    """The index-th task of a template in a world; None where the world has no such task.

    Its params hold "site", "world", "path", "setup", "template" and "needed_steps" (what a flawless demonstrator takes,
    its answer and the closing of pop-ups included); its hidden part the "goal" for the oracle and the "plan".

    Raises:
        UserError: if there is no such site, template or world.
    """
    if site not in SITES:
        raise UserError(f"there is no site {site!r}. Sites: {', '.join(SITES)}.")
    templates = SITES[site].templates
    if template not in templates:
        raise UserError(f"the site {site!r} has no template {template!r}. Templates: {', '.join(templates)}.")
    try:
        content = SITES[site].world(world)
    except ValueError as error:
        raise UserError(str(error)) from error
    draft = templates[template].make(content, random.Random(f"{site}/{template}/{world}/{index}"))
    if draft is None:
        return None
    start = SITES[site].arrive(content, draft.setup).snapshot()
    goal: dict[str, object] = {"state": {**start, **{area: list(items) for area, items in draft.state.items()}}}
    if draft.answer:
        goal["answer"] = list(draft.answer)
    if draft.page:
        goal["page"] = draft.page
    theme = content.theme
    params = {
        "site": site,
        "world": world,
        "path": draft.path,
        "template": template,
        "needed_steps": needed_steps(draft.plan) + theme.cookie + theme.newsletter,
    }
    if draft.setup:
        params["setup"] = dict(draft.setup)
    return Task(
        id=f"{site}-{template}-{world}-{index}",
        instruction=draft.instruction,
        environment="browser",
        params=params,
        split=content.split,
        provenance={"site": site, "template": template, "world": world, "entities": list(draft.entities)},
        hidden={"goal": goal, "plan": list(draft.plan)},
    )


def template_names(site: str, split: str, long: bool = False) -> list[str]:
    """The templates of a site that a split uses: the held-out ones are "test_templates", the others everything else.

    With `long` those of the long family (hunt.py), without it all others.
    """
    held_out = split == "test_templates"
    return [name for name, one in SITES[site].templates.items() if (one.held_out, one.long) == (held_out, long)]


def generate(
    sites: Sequence[str],
    split: str,
    count: int,
    seed: int,
    templates: Sequence[str] | None = None,
    long: bool = False,
) -> list[Task]:
    """Draw tasks, as evenly as possible over the templates of the sites, no two with the same instruction.

    Args:
        sites: which sites. Leave a site out of training to hold it out whole.
        split: "train", "validation", "test" or "test_templates".
        count: how many tasks.
        seed: the same seed draws the same tasks.
        templates: only these ("template" for every site that has it, or "site/template"); None for all of the split.
        long: of the long family, whose tasks take 6 to 20 steps (hunt.py).

    Raises:
        UserError: if a site, split or template is unknown, or there are not enough different tasks.
    """
    if split not in WORLDS:
        raise UserError(f"there is no split {split!r}. Splits: {', '.join(WORLDS)}.")
    for site in sites:
        if site not in SITES:
            raise UserError(f"there is no site {site!r}. Sites: {', '.join(SITES)}.")
    kinds = [(site, name) for site in sites for name in template_names(site, split, long)]
    if templates is not None:
        kinds = [kind for kind in kinds if kind[1] in templates or "/".join(kind) in templates]
        known = {name for kind in kinds for name in (kind[1], "/".join(kind))}
        if missing := [name for name in templates if name not in known]:
            raise UserError(f"no template {', '.join(missing)} in the split {split!r} of {', '.join(sites)}.")
    if not kinds:
        raise UserError("no site, or no template, is left to draw tasks from.")
    rng = random.Random(f"{seed}/{split}")
    rng.shuffle(kinds)
    tasks: dict[str, Task] = {}
    barren = 0  # kinds in a row that gave nothing new
    for site, name in cycle(kinds):
        if len(tasks) >= count:
            break
        if barren > len(kinds):
            raise UserError(f"only {len(tasks)} different tasks could be drawn instead of {count}; ask for fewer.")
        barren += 1
        for _ in range(_TRIES):
            task = make_task(site, name, rng.choice(WORLDS[split]), rng.randrange(1000))
            if task is not None and task.instruction.casefold() not in tasks:
                tasks[task.instruction.casefold()] = task
                barren = 0
                break
    return list(tasks.values())
