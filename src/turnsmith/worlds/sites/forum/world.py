"""What a forum holds, and what a visitor of it has done."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from turnsmith.worlds.sites.kit import World, start_world
from turnsmith.worlds.sites.words import only

NOUNS = {
    "Cycling": "Saddle Gears Brakes Helmet Pedal Frame Tyre Route Chainring Pannier Derny Velodrome",
    "Cinema": "Trailer Sequel Director Premiere Soundtrack Casting Matinee Projector Remake Festival Script Studio",
    "Aquarium": "Filter Goldfish Gravel Algae Heater Snail Guppy Coral Tank Plankton Seahorse Pump",
    "Chess": "Opening Endgame Gambit Bishop Rook Tournament Rating Puzzle Stalemate Castling Clockwork Pawn",
    "Sewing": "Pattern Thread Bobbin Zipper Quilt Button Hem Scissors Velcro Stitch Fabric Needle",
}
FILTERS = ("Solved", "Open")
SORTS = ("Newest", "Most replies", "Highest score")
WORDING = {
    "new_thread": ("New thread", "Start a thread", "New topic"),
    "upvote": ("Upvote", "Vote up", "Recommend"),
    "reply": ("Post reply", "Send reply", "Reply"),
    "your_reply": ("Your reply", "Write a reply", "Your answer"),
    "follow": ("Follow", "Follow member", "Subscribe to member"),
    "publish": ("Publish", "Post thread", "Create"),
    "title": ("Title", "Subject"),
    "message": ("Message", "Text"),
}
_MONTHS = "January February March April May June July August September October November December".split()  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who writes; `facts` stand only on their own page."""

    id: int
    name: str
    facts: Mapping[str, str]

    @property
    def url(self) -> str:
        return f"/member/{self.id}"


@dataclass(frozen=True, slots=True)
class Thread:
    """A question with replies of (member, text, likes); `facts` stand only on its own page."""

    id: int
    name: str
    board: str
    author: Member
    text: str
    solved: bool
    replies: tuple[tuple[Member, str, int], ...]
    count: int
    score: int
    facts: Mapping[str, str]

    @property
    def url(self) -> str:
        return f"/thread/{self.id}"


@dataclass(frozen=True, slots=True)
class ForumWorld(World):
    """`threads` from the newest to the oldest."""

    threads: tuple[Thread, ...] = ()
    members: tuple[Member, ...] = ()
    boards: tuple[str, ...] = ()

    @property
    def featured(self) -> tuple[Thread, ...]:
        """What the front page shows."""
        return self.threads[:5]

    def listed(self, board: str, kept: str = "", sort: str = "") -> list[Thread]:
        """The threads of a board as its page lists them."""
        chosen = [
            thread
            for thread in self.threads
            if thread.board == board and (not kept or thread.solved == (kept == "Solved"))
        ]
        if sort == "Most replies":
            chosen.sort(key=lambda one: -one.count)
        elif sort == "Highest score":
            chosen.sort(key=lambda one: -one.score)
        return chosen


def build(seed: int) -> ForumWorld:
    """The forum of a world seed."""
    rng, names, base = start_world("forum", seed, WORDING)
    by_board = {board: only(nouns, names.split) for board, nouns in NOUNS.items()}
    posts = rng.sample(range(20, 2000), 18)
    people = []
    for number, count in enumerate(posts):
        facts = {
            "Joined": str(rng.randrange(2004, 2025)),
            "Posts": str(count),
            "Town": names.word(),
            "Badge": rng.choice(("Bronze", "Silver", "Gold", "Platinum")),
        }
        people.append(Member(40 + number, names.person(), facts))
    titles: list[tuple[str, str]] = []
    while len(titles) < 40:
        first = names.word()
        titles += [(f"{first} {rng.choice(by_board[board])}", board) for board in rng.sample(sorted(by_board), 2)]
    rng.shuffle(titles)
    counts, scores = rng.sample(range(3, 400), len(titles)), rng.sample(range(1, 500), len(titles))
    views = rng.sample(range(500, 9500), len(titles))
    labels = rng.sample(("Views", "Opened", "Watchers", "Language"), 4)
    threads = []
    for number, (title, board) in enumerate(titles):
        author, *others = rng.sample(people, 3)
        facts = {
            "Views": str(views[number]),
            "Opened": f"{rng.randrange(1, 29)} {rng.choice(_MONTHS)}",
            "Watchers": str(rng.randrange(2, 90)),
            "Language": rng.choice(("English", "Danish", "Polish", "Dutch", "Finnish")),
        }
        threads.append(
            Thread(
                id=300 + number,
                name=title,
                board=board,
                author=author,
                text=f"Who knows more about {title}? I looked everywhere.",
                solved=rng.random() < 0.4,
                replies=tuple((member, names.remark() + ".", rng.randrange(90)) for member in others),
                count=counts[number],
                score=scores[number],
                facts={label: facts[label] for label in labels},
            )
        )
    return ForumWorld(
        base.seed,
        base.split,
        base.brand,
        base.theme,
        tuple(threads),
        tuple(people),
        tuple(rng.sample(sorted(NOUNS), 5)),
    )


@dataclass
class ForumState:
    """What one visitor wrote and marked."""

    replies: list[tuple[str, str]] = field(default_factory=list)
    threads: list[tuple[str, str, str]] = field(default_factory=list)
    votes: set[str] = field(default_factory=set)
    likes: set[tuple[str, str]] = field(default_factory=set)
    follows: set[str] = field(default_factory=set)

    @classmethod
    def arrive(cls, world: ForumWorld, setup: Mapping[str, Any]) -> "ForumState":
        """A new visitor; `setup` may hold "follows": [member, ...]."""
        return cls(follows=set(setup.get("follows", ())))

    def snapshot(self) -> dict[str, list[str]]:
        """All of it in words."""
        return {
            "replies": sorted(f"{thread}: {text}" for thread, text in self.replies),
            "threads": sorted(f"{board}: {title}: {text}" for board, title, text in self.threads),
            "votes": sorted(self.votes),
            "likes": sorted(f"{member} in {thread}" for thread, member in self.likes),
            "follows": sorted(self.follows),
        }
