"""A made-up run with drawn screenshots: for the viewer's benchmark, its tests, and whoever works on its pages.

Nothing in it was measured. Images are stored by content, so few distinct screenshots serve many traces; `distinct`
says how many are drawn.
"""

import io
import json
import math
import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from turnsmith.evaluate.stats import wilson
from turnsmith.trace.store import Store
from turnsmith.trace.types import (
    ORACLE,
    Action,
    Call,
    Credit,
    ImageRef,
    Observation,
    Outcome,
    StopReason,
    Task,
    Trace,
    Turn,
    Verdict,
)

SITES = ("shop", "forum", "docs", "recipes", "courses")
_THINGS = ("kettle", "lamp", "backpack", "notebook", "teapot", "jacket", "desk", "bicycle", "clock", "scarf")
_COLOURS = ("blue", "green", "grey", "red", "white")
VIEWPORT = (1280, 720)


def write_sample_run(
    folder: Path, traces: int = 60, turns: int = 8, iterations: int = 5, seed: int = 0, distinct: int = 40
) -> Path:
    """Write a run folder that looks like one of web training.

    Args:
        folder: where; it must not hold a run yet.
        traces: how many episodes, spread over `iterations` evaluations with growing success.
        turns: mean turns of an episode.
        iterations: evaluations.
        seed: of everything that is drawn at random.
        distinct: how many different screenshots.

    Returns:
        The folder.
    """
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    config = {"recipe": "filtered_bc", "preset": "laptop", "seed": seed, "iterations": iterations}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    pages = [_page(random.Random(index)) for index in range(distinct)]
    wins: dict[int, list[bool]] = {}
    with Store(folder / "run.db") as store:
        batch = []
        for number in range(traces):
            iteration = number * iterations // traces
            trace = _episode(rng, number, iteration, iterations, turns, pages)
            batch.append(trace)
            if trace.outcome is not Outcome.INFRA_ERROR:
                wins.setdefault(iteration, []).append(trace.verdicts[0].reward == 1)
            if len(batch) == 200 or number == traces - 1:
                store.append_many(batch)
                batch = []
    _write_text_files(folder, wins, rng)
    return folder


def long_trace(turns: int, seed: int = 0) -> Trace:
    """A trace under the id "long-trace" whose screenshots are all different."""
    rng = random.Random(seed)
    pages = [_page(random.Random(10_000 + index)) for index in range(turns + 1)]
    steps = [_turn(rng, index, turns, pages[index], "lamp", "red", True) for index in range(turns)]
    task = Task("long-trace", "Find the red lamp, the long way round.", "browser", {"site": "shop"}, "test")
    final = Observation(images=(pages[-1][0],), info=pages[-1][1])
    verdicts = (Verdict(ORACLE, 1.0, "the cart holds the item"),)
    return Trace("long-trace", task, tuple(steps), Outcome.SUCCESS, verdicts, "step-0", final=final)


def _episode(rng: random.Random, number: int, iteration: int, iterations: int, turns: int, pages: list) -> Trace:
    site = rng.choice(SITES)
    thing, colour = rng.choice(_THINGS), rng.choice(_COLOURS)
    limit = rng.choice((20, 35, 50))
    task = Task(
        id=f"{site}-{thing}-{colour}",
        instruction=f"Find the {colour} {thing} that costs less than ${limit} and put it in the cart.",
        environment="browser",
        params={"site": site, "start_url": f"http://127.0.0.1:9000/{site}/", "world_seed": 7},
        split="test",
        provenance={"template": "find_and_add", "entities": {"thing": thing, "colour": colour}, "stage": "accepted"},
        hidden={"goal": {"cart": [f"{thing}-{colour}"]}, "note": "The agent never sees this."},
    )
    success = rng.random() < 0.25 + 0.5 * iteration / max(1, iterations - 1)
    draw = rng.random()
    outcome = Outcome.SUCCESS if success else Outcome.TRUNCATED if draw < 0.3 else Outcome.FAILURE
    if draw > 0.97:
        outcome = Outcome.INFRA_ERROR
    count = max(2, round(rng.gauss(turns, turns / 4)))
    steps = [_turn(rng, index, count, rng.choice(pages), thing, colour, success) for index in range(count)]
    judged = rng.random() < 0.85
    verdicts = (
        Verdict(ORACLE, float(success), "the cart holds the item" if success else "the cart is empty"),
        Verdict("vlm-judge", float(success == judged), "The last screenshot shows a cart with one item."),
    )
    last = rng.choice(pages)
    return Trace(
        id=f"trace-{number:05d}",
        task=task,
        turns=tuple(steps),
        outcome=outcome,
        verdicts=() if outcome is Outcome.INFRA_ERROR else verdicts,
        policy=f"step-{iteration * 40}",
        seed=number,
        created_at=1_760_000_000 + 7.0 * number,
        final=Observation(text="", images=(last[0],), info=last[1]),
        info={"phase": "eval", "iteration": iteration},
    )


def _turn(rng: random.Random, index: int, count: int, page: tuple, thing: str, colour: str, success: bool) -> Turn:
    image, info = page
    element = rng.choice(info["elements"])
    x, y, w, h = element["box"]
    touched = {"point": [x + w / 2, y + h / 2], "mark": element["mark"], "box": element["box"]}
    error = ""
    if index == count - 1:
        call, act = (
            Call("answer", {"text": f"The {colour} {thing} is in the cart."}),
            "ANSWER; The item is in the cart.",
        )
        touched = {}
    elif element["tag"] == "input":
        call, act = Call("type", {"mark": element["mark"], "text": f"{colour} {thing}"}), f"Type [{element['mark']}]"
    elif rng.random() < 0.08:
        call, act, touched = None, "Click the thing", {}
        error = 'No action was recognised. Write for example "Action: Click [3]".'
    else:
        call, act = Call("click", {"mark": element["mark"]}), f"Click [{element['mark']}]"
    text = f"Thought: I want the {colour} {thing}; “{element['text']}” is the way to it.\nAction: {act}"
    ids = tuple(rng.randrange(20, 900) for _ in range(24))
    logprobs = tuple(math.log(max(1e-4, 1 - rng.random() ** 3)) for _ in ids)
    listing = "\n".join(f'[{e["mark"]}]: <{e["tag"]}> "{e["text"]}"' for e in info["elements"])
    progress = (index + 1) / count
    return Turn(
        observation=Observation(text=listing, images=(image,), error="", info=info),
        action=Action(
            text=text,
            call=call,
            error=error,
            prompt_ids=tuple(range(400)),
            token_ids=ids,
            logprobs=logprobs,
            stop=StopReason.EOS,
        ),
        reward=float(success) if index == count - 1 else 0.0,
        credits=(
            Credit(
                "critic",
                0,
                round((0.3 + 0.6 * progress) if success else 0.5 - 0.4 * progress, 3),
                round(rng.gauss(0.25 if success else -0.25, 0.3), 3),
            ),
        ),
        act_seconds=rng.uniform(0.05, 0.2),
        env_seconds=rng.uniform(0.05, 0.4),
        info=touched,
    )


def _page(rng: random.Random) -> tuple[ImageRef, dict]:
    """A drawn shop page: its screenshot and the `info` of its observation."""
    width = VIEWPORT[0]
    picture = Image.new("RGB", VIEWPORT, (250, 250, 248))
    draw = ImageDraw.Draw(picture)
    font, small = ImageFont.load_default(22), ImageFont.load_default(15)
    accent = tuple(rng.randrange(30, 140) for _ in range(3))
    draw.rectangle((0, 0, width, 64), fill=accent)
    draw.text((28, 18), rng.choice(("Northlight", "Fernway", "Oak & Ash")), font=font, fill="white")
    elements = [{"mark": 1, "tag": "input", "text": "Search", "aria": "Search", "box": [420, 14, 440, 36]}]
    draw.rounded_rectangle((420, 14, 860, 50), 6, fill="white")
    draw.text((434, 23), "Search products", font=small, fill=(120, 120, 120))
    for column in range(4):
        for line in range(2):
            left, top = 40 + column * 305, 100 + line * 300
            name = f"{rng.choice(_COLOURS)} {rng.choice(_THINGS)}".capitalize()
            price = rng.randrange(9, 90)
            draw.rounded_rectangle((left, top, left + 280, top + 272), 8, fill="white", outline=(222, 222, 222))
            shade = tuple(rng.randrange(120, 230) for _ in range(3))
            draw.rectangle((left + 12, top + 12, left + 268, top + 150), fill=shade)
            for _ in range(40):  # texture, so that the picture weighs what a photograph does
                cx, cy = left + rng.randrange(20, 250), top + rng.randrange(20, 140)
                r = rng.randrange(3, 26)
                draw.ellipse(
                    (cx, cy, min(cx + r, left + 268), min(cy + r, top + 150)),
                    fill=tuple(rng.randrange(90, 250) for _ in range(3)),
                )
            draw.text((left + 14, top + 162), name, font=font, fill=(30, 30, 30))
            draw.text((left + 14, top + 192), f"${price}", font=small, fill=(90, 90, 90))
            draw.rounded_rectangle((left + 14, top + 222, left + 140, top + 256), 6, fill=accent)
            draw.text((left + 28, top + 230), "Add to cart", font=small, fill="white")
            mark = len(elements) + 1
            elements.append(
                {"mark": mark, "tag": "a", "text": name, "aria": "", "box": [left + 14, top + 160, 200, 28]}
            )
            elements.append(
                {
                    "mark": mark + 1,
                    "tag": "button",
                    "text": "Add to cart",
                    "aria": f"Add {name}",
                    "box": [left + 14, top + 222, 126, 34],
                }
            )
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    info = {
        "url": f"http://127.0.0.1:9000/shop/list?page={rng.randrange(9)}",
        "title": "All products",
        "viewport": list(VIEWPORT),
        "scroll": 0,
        "elements": elements,
    }
    return ImageRef.of(buffer.getvalue()), info


def _write_text_files(folder: Path, wins: dict[int, list[bool]], rng: random.Random) -> None:
    lines, loss = [], 1.4
    for iteration, results in wins.items():
        low, high = wilson(sum(results), len(results))
        time = 1_760_000_000 + 60.0 * iteration
        lines.append(
            {
                "time": time,
                "step": iteration * 40,
                "iteration": iteration,
                "phase": "eval",
                "success": sum(results) / len(results),
                "success_low": low,
                "success_high": high,
                "mean_steps": 8 - 0.4 * iteration + rng.random(),
            }
        )
        for step in range(iteration * 40, iteration * 40 + 40, 5):
            loss *= 0.97 + 0.02 * rng.random()
            lines.append(
                {
                    "time": time + step,
                    "step": step,
                    "iteration": iteration,
                    "phase": "train",
                    "loss": loss,
                    "steps_per_s": 12 + rng.random(),
                }
            )
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    summary = []
    for name, iteration in (("Success before", min(wins)), ("Success after", max(wins))):
        results = wins[iteration]
        low, high = wilson(sum(results), len(results))
        mean = sum(results) / len(results)
        summary.append({"name": name, "value": 100 * mean, "low": 100 * low, "high": 100 * high, "unit": "%"})
    summary.append({"name": "Mean steps after", "value": 6.4, "low": None, "high": None, "unit": "steps"})
    summary.append({"name": "Infra errors", "value": 1, "low": None, "high": None, "unit": "episodes"})
    (folder / "report.json").write_text(json.dumps({"status": "done", "summary": summary}), encoding="utf-8")
