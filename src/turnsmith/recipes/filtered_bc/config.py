"""Settings of filtered behaviour cloning: the defaults are the paper's (arXiv 2412.13194), presets say what differs."""

from dataclasses import dataclass, field, replace
from typing import Literal

from turnsmith.learn.optim import OptimConfig
from turnsmith.recipes.shared.web_config import (
    PAPER_SFT,
    PAPER_UPDATE,
    SHIPPED,
    SMALL_OPTIM,
    Demonstrations,
    PolicyConfig,
    SmallModel,
    WebConfig,
)
from turnsmith.runs.config import unknown_preset

EXTRAS = ("browser", "hf")

Method = Literal["filtered_bc", "sft"]

ENDLESS = 10_000
"""Epochs, where the number of updates is what counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Filtered behaviour cloning on the local sites.

    Attributes:
        name: the run's folder is `runs/NAME`.
        seed: of everything but the test tasks.
        preset_name: which preset these settings started from (recorded results combine the seeds of one preset).
        tasks: a task file of yours instead of the local sites' (docs/tasks.md): its split "train" is trained on, its
            split "test" is the test. A policy that can act is needed: `demonstrations.count` is 0 there.
        judge: who rewards training and tests: "oracle", or another by its name (docs/own_judge.md).
        web: sites, horizon, sessions.
        policy: who acts and learns.
        demonstrations: collected first, good and bad alike.
        sft: training on them.
        method: "filtered_bc", or "sft": as many updates on the demonstrations, without exploring (control).
        iterations, rollouts: K and N.
        keep: the most successful trajectories that an update uses, drawn from those of all iterations.
        update: training in each iteration.
        rename: learn everything under new names, demonstrations and the policy's own successes alike
            (`transforms.rename`); for small policies, which else remember names instead of copying them.
        test_tasks: held-out tasks for the evaluation before and after.
        pictures: how many evaluation episodes are recorded with screenshots where the policy sees none.
    """

    name: str = "filtered_bc-paper"
    seed: int = 0
    preset_name: str = "paper"
    tasks: str = ""
    judge: str = "oracle"
    web: WebConfig = field(default_factory=WebConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    demonstrations: Demonstrations = field(default_factory=Demonstrations)
    sft: OptimConfig = PAPER_SFT
    method: Method = "filtered_bc"
    iterations: int = 20
    rollouts: int = 512
    keep: int = 1024
    update: OptimConfig = PAPER_UPDATE
    rename: bool = False
    test_tasks: int = 512
    pictures: int = 12

    @classmethod
    def preset(cls, name: str) -> "Config":
        """smoke: for tests. demo: at most six minutes. laptop: makes the recorded results. paper: for GPUs."""
        laptop = {
            "web": WebConfig(horizon=12, sessions=8, screenshots=False),
            "policy": SHIPPED,
            "demonstrations": Demonstrations(count=64),
            "sft": replace(SMALL_OPTIM, epochs=2),
            "update": replace(SMALL_OPTIM, epochs=ENDLESS, max_updates=200),
            "rename": True,
        }
        presets = {
            "smoke": cls(
                name="filtered_bc-smoke",
                preset_name="smoke",
                web=WebConfig(sites=("shop",), horizon=4, sessions=2, screenshots=False),
                policy=replace(SHIPPED, model="scratch", scratch=SmallModel(vocab_size=1300, width=32)),
                demonstrations=Demonstrations(count=6),
                sft=replace(SMALL_OPTIM, learning_rate=1e-3),
                iterations=1,
                rollouts=4,
                update=replace(SMALL_OPTIM, learning_rate=1e-3, max_updates=2),
                rename=True,
                test_tasks=4,
                pictures=4,
            ),
            "demo": cls(
                **{**laptop, "demonstrations": Demonstrations(count=32)},
                name="demo",
                preset_name="demo",
                iterations=3,
                rollouts=112,
                test_tasks=176,
            ),
            "laptop": cls(
                **laptop,
                name="filtered_bc-laptop-s0",
                preset_name="laptop",
                iterations=6,
                rollouts=128,
                test_tasks=116,
            ),
            "paper": cls(),
        }
        if name not in presets:
            raise unknown_preset(name, presets)
        return presets[name]
