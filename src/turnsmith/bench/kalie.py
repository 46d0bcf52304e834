"""`turnsmith bench kalie`: rendered RGB-D observations and composite syntheses a second, on one core.

An observation is what a predictor and the executor get: colour with shadows and depth with its noise, at the networks'
resolution, of a scene whose objects have moved. A new scene costs a compiled model and a graphics context besides; that
is measured apart. A synthesis is one whole variant: every object of an image drawn anew.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from turnsmith.errors import UserError, require
from turnsmith.evaluate.claims import Claim, record


def main(argv: list[str]) -> int:
    """Measure, print a table, record results/bench_kalie.json."""
    parser = argparse.ArgumentParser(prog="turnsmith bench kalie", description=__doc__)
    parser.add_argument("--size", type=int, default=96, help="side of the images, pixels (the laptop's networks: 96)")
    parser.add_argument("--repeats", type=int, default=20, help="timed observations and variants of each task")
    parser.add_argument("--no-record", action="store_true", help="print only")
    options = parser.parse_args(argv)
    if options.repeats < 2 or options.size < 32:
        raise UserError("--repeats must be at least 2 and --size at least 32.")
    require("mujoco", "robot")
    require("torch", "hf")
    from turnsmith.worlds.tabletop.rendering import BACKEND

    seen, fresh, drawn = (measure(options.size, options.repeats) for measure in (observations, new_scenes, syntheses))
    print(f"MuJoCo renders by {BACKEND}; {options.size} x {options.size} pixels; seconds of processor time")
    for words, by_task in (("RGB-D a second", seen), ("new scenes a second", fresh), ("syntheses a second", drawn)):
        print(f"{words:22}" + "  ".join(f"{task.partition('_')[0]} {rate:.0f}" for task, rate in by_task.items()))
    if not options.no_record:
        note = f"{BACKEND}, {options.size} pixels, one core, {options.repeats} repeats a task, processor time."
        record("bench_kalie", claims(seen, fresh, drawn, note), f"turnsmith bench kalie --size {options.size}")
    return 0


def claims(seen: dict[str, float], fresh: dict[str, float], drawn: dict[str, float], note: str) -> list[Claim]:
    """Means over tasks: the time of one of each, added up."""
    return [
        Claim("rgbd_per_s", "Rendered RGB-D observations a second, mean over tasks", _mean(seen), ">= 25", note=note),
        Claim("synthesis_per_s", "Composite syntheses a second, mean over tasks", _mean(drawn), ">= 20", note=note),
        Claim("new_scene_per_s", "New scenes built, settled and observed a second", _mean(fresh), note=note),
    ]


def _mean(rates: dict[str, float]) -> float:
    return float(1 / np.mean([1 / rate for rate in rates.values()]))


def _rate(work: Callable[[int], object], repeats: int) -> float:
    """Calls a second of processor time; the first call is not counted."""
    work(0)
    begun = time.process_time()
    for number in range(1, repeats + 1):
        work(number)
    return repeats / (time.process_time() - begun)


def observations(size: int, repeats: int) -> dict[str, float]:
    """Observations a second of a scene that moves on, by task."""
    from turnsmith.worlds.tabletop.camera import Camera
    from turnsmith.worlds.tabletop.rendering import Eye, mujoco
    from turnsmith.worlds.tabletop.scenes import make_scene
    from turnsmith.worlds.tabletop.tasks import TableTask

    rates = {}
    for task in TableTask:
        scene, rng = make_scene(task, 1, 0), np.random.default_rng(0)
        with Eye(scene.model, Camera(size)) as eye:
            spent = 0.0
            eye.look(scene.data, depth_noise=rng)
            for _ in range(repeats):
                mujoco.mj_step(scene.model, scene.data, nstep=5)
                begun = time.process_time()
                eye.look(scene.data, depth_noise=rng)
                spent += time.process_time() - begun
        rates[str(task)] = repeats / spent
    return rates


def new_scenes(size: int, repeats: int) -> dict[str, float]:
    """Scenes built, settled and observed a second, by task."""
    from turnsmith.worlds.tabletop.camera import Camera
    from turnsmith.worlds.tabletop.scenes import make_scene
    from turnsmith.worlds.tabletop.tasks import TableTask
    from turnsmith.worlds.tabletop.trial import observe

    count = max(2, repeats // 4)
    return {
        str(task): _rate(lambda number, task=task: observe(make_scene(task, 1, number), Camera(size)), count)
        for task in TableTask
    }


def syntheses(size: int, repeats: int) -> dict[str, float]:
    """Variants a second, by task."""
    from turnsmith.robot.composite import Composite
    from turnsmith.robot.labelled import render_labelled, resized
    from turnsmith.robot.settings import SynthesisSettings
    from turnsmith.robot.synthesis import synthesize
    from turnsmith.worlds.tabletop.tasks import TableTask

    rates, settings = {}, SynthesisSettings(variants=1)
    for task in TableTask:
        sample = resized(render_labelled(task, 0, 0), size)
        rates[str(task)] = _rate(lambda number, one=sample: synthesize([one], settings, Composite(), number), repeats)
    return rates
