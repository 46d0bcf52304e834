"""What one can be asked to do in the forum."""

import random

from turnsmith.worlds.sites import draft, plan
from turnsmith.worlds.sites.draft import Draft, number, phrase, reach, templates
from turnsmith.worlds.sites.forum.world import FILTERS, ForumWorld, Thread
from turnsmith.worlds.sites.hunt import Catalogue, Deed, hunts
from turnsmith.worlds.sites.plan import Place, Stage, act, fill, found, place, read
from turnsmith.worlds.sites.words import Namer

EXTREMES = {"Most replies": ("most replies", "longest discussion"), "Highest score": ("highest score", "most points")}
COMPARABLE = ("Views", "Watchers")


def open_thread(world: ForumWorld, rng: random.Random) -> Draft:
    """Find a thread and stay on it."""
    thread = rng.choice(world.threads)
    wordings = "Open the thread {x}.", "Go to the discussion {x}.", "Show me the thread {x}."
    return draft.opened(rng, thread, "thread", reach(thread, world.featured), *wordings)


def thread_fact(world: ForumWorld, rng: random.Random) -> Draft:
    """A detail that stands only on the thread's page."""
    thread = rng.choice(world.threads)
    wordings = (
        "What does the thread {x} show as {l}?",
        "Find the {l} of the thread {x}.",
        "Look up the thread {x}: {l}?",
    )
    steps = reach(thread, world.featured) + world.theme.folded
    return draft.fact(rng, thread, rng.choice(list(thread.facts)), steps, *wordings)


def _author(thread: Thread) -> Place:
    return place(thread.author.name, after=found(thread.name))


def author_fact(world: ForumWorld, rng: random.Random) -> Draft:
    """A detail of whoever started a thread: two pages deep."""
    thread = rng.choice(world.threads)
    label = rng.choice(list(thread.author.facts))
    return Draft(
        phrase(
            rng,
            "What does the member who started {x} show as {l}?",
            "Find the author of the thread {x} and tell their {l}.",
            l=label,
            x=thread.name,
        ),
        [
            act(found(thread.name), reach(thread, world.featured)),
            read(_author(thread), label, 1 + world.theme.folded),
            plan.say_value(thread.author.name),
        ],
        [thread.name, thread.author.name],
        answer=[thread.author.facts[label]],
    )


def _reply(world: ForumWorld, thread: Thread, text: str, steps: int) -> Stage:
    words = world.theme.words
    return fill(found(thread.name), [(words["your_reply"], text)], words["reply"], steps + 2)


def reply(world: ForumWorld, rng: random.Random) -> Draft:
    """Write a given reply."""
    thread, text = rng.choice(world.threads), Namer(world.split, rng).remark()
    return Draft(
        phrase(
            rng,
            'Reply "{t}" in the thread {x}.',
            'Answer the thread {x} with "{t}".',
            'In {x}, write "{t}".',
            t=text,
            x=thread.name,
        ),
        [_reply(world, thread, text, reach(thread, world.featured)), plan.say("done")],
        [thread.name],
        state={"replies": [f"{thread.name}: {text}"]},
    )


def upvote(world: ForumWorld, rng: random.Random) -> Draft:
    """Vote for a thread."""
    thread = rng.choice(world.threads)
    return Draft(
        phrase(rng, "Upvote the thread {x}.", "Give the thread {x} your vote.", "Vote for {x}.", x=thread.name),
        [act(found(thread.name), reach(thread, world.featured) + 1, world.theme.words["upvote"]), plan.say("done")],
        [thread.name],
        state={"votes": [thread.name]},
    )


def like_reply(world: ForumWorld, rng: random.Random) -> Draft:
    """Like what one member wrote in a thread."""
    thread = rng.choice(world.threads)
    member = rng.choice(thread.replies)[0]
    return Draft(
        phrase(
            rng,
            "Like the reply of {m} in {x}.",
            "In the thread {x}, like what {m} wrote.",
            m=member.name,
            x=thread.name,
        ),
        [act(found(thread.name), reach(thread, world.featured) + 1, f"Like {member.name}"), plan.say("done")],
        [thread.name, member.name],
        state={"likes": [f"{member.name} in {thread.name}"]},
    )


def top_thread(world: ForumWorld, rng: random.Random) -> Draft | None:
    """The first of a board in some order."""
    board, sort = rng.choice(world.boards), rng.choice(sorted(EXTREMES))
    names = [thread.name for thread in world.listed(board, sort=sort)]
    listing = draft.sorted_list(board, sort, world.theme.words["sort"])
    wordings = "Which {c} thread at {b} has the {w}?", "On the board {c} of {b}, which thread has the {w}?"
    return draft.first_of(rng, listing, names, *wordings, w=rng.choice(EXTREMES[sort]), c=board, b=world.brand)


def compare(world: ForumWorld, rng: random.Random) -> Draft | None:
    """Two threads by a detail that stands only on their pages."""
    one, other = draft.pair(rng, world.threads)
    folded = world.theme.folded
    steps = [reach(one, world.featured) + folded, reach(other, world.featured, one) + folded]
    wordings = (
        "Which thread has the {w} number of {l}: {x} or {y}?",
        "Compare the threads {x} and {y}: which has {w} {l}?",
    )
    return draft.comparison(rng, (one, other), rng.choice(COMPARABLE), steps, *wordings)


def compare_authors(world: ForumWorld, rng: random.Random) -> Draft | None:
    """Two threads by how much their authors wrote: two pages deep, twice."""
    one, other = draft.pair(rng, world.threads)
    values = {thread.name: number(thread.author.facts["Posts"]) for thread in (one, other)}
    if one.author.name == other.author.name:
        return None
    largest = rng.random() < 0.6
    stages: list[Stage] = []
    for thread in (one, other):
        # the second is searched from the page of the first one's author, unless that page links to it
        own = thread is other and other.author.name == one.author.name
        steps = 1 if own else reach(thread, world.featured if thread is one else ())
        stages.append(act(found(thread.name), steps))
        stages.append(read(_author(thread), "Posts", 1 + world.theme.folded, into=thread.name))
    return Draft(
        phrase(
            rng,
            "Whose author has {w} Posts: {x} or {y}?",
            "Compare who started the threads {x} and {y}: which thread's author has {w} Posts?",
            w="more" if largest else "fewer",
            x=one.name,
            y=other.name,
        ),
        [*stages, plan.say_extreme(list(values), largest)],
        [*values, one.author.name, other.author.name],
        answer=[draft.best(values, largest)],
    )


def survey(world: ForumWorld, rng: random.Random) -> Draft | None:
    """The best of a filtered board by a detail that stands only on the threads' pages."""
    board, kept = rng.choice(world.boards), rng.choice(FILTERS)
    return draft.survey(
        rng,
        draft.filtered_list(board, kept),
        world.listed(board, kept),
        rng.choice(COMPARABLE),
        int(world.theme.folded),
        "Of the {k} threads in {c} at {b}, which has the {w} number of {l}?",
        "At {b}, which {k} thread of the board {c} has the {w} {l}?",
        k=kept.lower(),
        c=board,
        b=world.brand,
    )


def new_thread(world: ForumWorld, rng: random.Random) -> Draft:
    """Open a thread with a given title and text."""
    board, names, words = rng.choice(world.boards), Namer(world.split, rng), world.theme.words
    title, text = f"{names.word()} {names.word()}", names.remark()
    form = place(f"New in {board}", [words["new_thread"]], after=place(board))
    return Draft(
        phrase(
            rng,
            'Start a thread titled "{t}" in {c} with the text "{m}".',
            'On the board {c}, open a new thread "{t}" that says "{m}".',
            t=title,
            c=board,
            m=text,
        ),
        [fill(form, [(words["title"], title), (words["message"], text)], words["publish"], 5), plan.say("done")],
        [title],
        state={"threads": [f"{board}: {title}: {text}"]},
    )


def take_part(world: ForumWorld, rng: random.Random) -> Draft:
    """Vote for a thread, reply to it, and follow its author."""
    thread, text, words = rng.choice(world.threads), Namer(world.split, rng).remark(), world.theme.words
    return Draft(
        phrase(
            rng,
            'Upvote {x}, reply "{t}" and follow its author.',
            'In the thread {x}: vote for it, write "{t}", then follow the member who started it.',
            x=thread.name,
            t=text,
        ),
        [
            act(found(thread.name), reach(thread, world.featured) + 1, words["upvote"]),
            _reply(world, thread, text, 0),
            act(_author(thread), 2, words["follow"]),
            plan.say("done"),
        ],
        [thread.name, thread.author.name],
        state={
            "votes": [thread.name],
            "replies": [f"{thread.name}: {text}"],
            "follows": [thread.author.name],
        },
    )


def follow_member(world: ForumWorld, rng: random.Random) -> Draft:
    """Follow a member by name."""
    member = rng.choice(world.members)
    return Draft(
        phrase(rng, "Follow {m}.", "Find the member {m} and follow them.", m=member.name),
        [act(found(member.name), 3, world.theme.words["follow"]), plan.say("done")],
        [member.name],
        state={"follows": [member.name]},
    )


def vote_two(world: ForumWorld, rng: random.Random) -> Draft:
    """Vote for two threads."""
    one, other = draft.pair(rng, world.threads)
    vote = world.theme.words["upvote"]
    stages = [
        act(found(one.name), reach(one, world.featured) + 1, vote),
        act(found(other.name), reach(other, world.featured, one) + 1, vote),
    ]
    return Draft(
        phrase(rng, "Upvote {x} and {y}.", "Vote for the threads {x} and {y}.", x=one.name, y=other.name),
        [*stages, plan.say("done")],
        [one.name, other.name],
        state={"votes": sorted((one.name, other.name))},
    )


def _voted(world: ForumWorld, rng: random.Random, thread: Thread, at: Place) -> Deed:
    return "upvote it", act(at, 1, world.theme.words["upvote"]), {"votes": [thread.name]}


CATALOGUE = Catalogue("thread", "thread", lambda world: world.boards, ForumWorld.listed, _voted)
TEMPLATES = hunts(CATALOGUE) | templates(
    open_thread,
    thread_fact,
    author_fact,
    reply,
    upvote,
    like_reply,
    top_thread,
    compare,
    compare_authors,
    survey,
    new_thread,
    take_part,
    held_out=[follow_member, vote_two],
)
