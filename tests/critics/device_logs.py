"""A phone small enough to know: coloured screens, one button, and logs of it with right rewards."""

import io
import random

from PIL import Image, ImageDraw

from turnsmith.agents import aitw
from turnsmith.trace.types import ORACLE, Action, Call, ImageRef, Observation, Outcome, Task, Trace, Turn, Verdict

GOALS = ("Open the red door", "Open the blue door")
BUTTON = {"red": (40, 15), "blue": (40, 60)}
"""(y, x) of the button for each colour, on a screen of 95 × 90."""


def screen(stage: str) -> ImageRef:
    """The hall with two buttons, or the room behind one of them."""
    image = Image.new("RGB", (90, 190), "white")
    draw = ImageDraw.Draw(image)
    if stage == "hall":
        for colour, (y, x) in BUTTON.items():
            draw.rectangle((x, 2 * y, x + 15, 2 * y + 20), fill=colour)
    else:
        draw.rectangle((0, 0, 90, 120), fill=stage)
    file = io.BytesIO()
    image.save(file, "PNG")
    return ImageRef.of(file.getvalue(), "image/png")


def tap(colour: str | None, rng: random.Random) -> Call:
    """A tap on a button, or on nothing (the lower half)."""
    if colour is None:
        return Call("tap", {"y": round(rng.uniform(0.75, 0.98), 4), "x": round(rng.uniform(0.05, 0.95), 4)})
    y, x = BUTTON[colour]
    return Call("tap", {"y": round((2 * y + 10) / 190, 4), "x": round((x + 8) / 90, 4)})


def episode(number: int, rng: random.Random, wanted: str, taps: list[str | None], phase: str = "offline") -> Trace:
    """The taps one after the other; the first on a button opens its room and ends the episode."""
    turns, stage = [], "hall"
    for colour in taps:
        call = tap(colour, rng)
        before, stage = screen(stage), colour or stage
        won = colour == wanted
        turns.append(
            Turn(
                Observation(images=(before,)),
                Action(aitw.render_aitw(call), call),
                reward=float(won),
            )
        )
        if colour is not None:
            break
    won = stage == wanted
    return Trace(
        f"{phase}-{number:04d}",
        Task(f"t{number}", GOALS[wanted == "blue"], "device"),
        tuple(turns),
        Outcome.SUCCESS if won else Outcome.FAILURE,
        (*(Verdict(ORACLE, turn.reward, turn=place) for place, turn in enumerate(turns)), Verdict(ORACLE, float(won))),
        policy="first",
        final=Observation(images=(screen(stage),)),
        info={"phase": phase, "iteration": 0},
    )


def door_log(count: int = 80, seed: int = 0) -> list[Trace]:
    """Half of all taps open the red door, which is the goal; the others do nothing. Two taps at most."""
    rng = random.Random(seed)
    taps = [[rng.choice(("red", None)) for _ in range(2)] for _ in range(count)]
    return [episode(n, rng, "red", one) for n, one in enumerate(taps)]


def log(count: int = 60, seed: int = 0) -> list[Trace]:
    """Episodes of a policy that taps anywhere: one in three taps on each button, one on nothing; up to three taps."""
    rng = random.Random(seed)
    return [
        episode(n, rng, rng.choice(("red", "blue")), [rng.choice(("red", "blue", None)) for _ in range(3)])
        for n in range(count)
    ]
