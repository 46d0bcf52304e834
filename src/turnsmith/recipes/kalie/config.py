"""Settings of KALIE: tasks, images, arms to compare, networks, trials; the presets. Loads neither torch nor MuJoCo."""

from dataclasses import dataclass, field, replace

from turnsmith.learn.optim import OptimConfig
from turnsmith.robot.settings import Augmentation, NetSettings, SynthesisSettings
from turnsmith.runs.config import unknown_preset
from turnsmith.worlds.tabletop.tasks import TableTask

EXTRAS = ("robot",)
"""What the recipe needs beside the base package."""
TASKS = tuple(str(task) for task in TableTask)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to learn keypoints.

    Attributes:
        images: how many labelled images of each task; the others are not seen.
        augmentation: of every batch.
        synthesis: None learns from the labelled images alone.
        head: of the network; "" takes that of the settings.
    """

    images: int = 50
    augmentation: Augmentation = "standard"
    synthesis: SynthesisSettings | None = None
    head: str = ""


_SYNTHESIS = SynthesisSettings()
_WIDE = SynthesisSettings(spread=2.5)
ARMS: dict[str, Arm] = {
    "none": Arm(augmentation="none"),
    "standard": Arm(),
    "strong_colour": Arm(augmentation="strong_colour"),
    "composite": Arm(synthesis=_SYNTHESIS),
    "composite_10": Arm(images=10, synthesis=SynthesisSettings(variants=50)),
    "still_labels": Arm(synthesis=replace(_SYNTHESIS, move_labels=False)),
    "wide": Arm(synthesis=_WIDE),
    "wide_still_labels": Arm(synthesis=replace(_WIDE, move_labels=False)),
    "appearance": Arm(synthesis=replace(_SYNTHESIS, spread=0.0)),
    "segmentation": Arm(synthesis=replace(_SYNTHESIS, context="segmentation")),
    "depth": Arm(synthesis=replace(_SYNTHESIS, context="depth")),
    "canny": Arm(synthesis=replace(_SYNTHESIS, context="canny")),
    "regression": Arm(synthesis=_SYNTHESIS, head="regression"),
    "text": Arm(synthesis=_SYNTHESIS, head="text"),
}
"""Every arm by its name. "composite" is KALIE with the generator that needs no weights."""
SCRIPTS = ("oracle", "marks", "random")
"""Policies that do not learn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rl:
    """Learning from success after imitation: filtered behaviour cloning (beyond the paper).

    Attributes:
        task: on which it is shown.
        start: the arm whose network goes on.
        iterations: rounds of playing and learning; 0 leaves it out.
        rollouts: episodes of a round, in scenes of the unseen sets that no test has.
        spread: exploration, pixels of a 224-pixel image.
        updates: of the network after each round; the control takes as many on the imitation data alone.
        learning_rate: the peak of each round.
        share: how much of a batch comes from successes.
    """

    task: str = "unplugging"
    start: str = "strong_colour"
    iterations: int = 2
    rollouts: int = 150
    spread: float = 3.0
    updates: int = 200
    learning_rate: float = 7e-4
    share: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Vlm:
    """KALIE's own predictor, a vision-language model with LoRA, beside the small networks.

    Attributes:
        folder: of the model in the Hugging Face layout; "" leaves it out.
        rank: of the adapter.
        size: side of its images, pixels.
        optim: of the fine-tuning; the defaults are the paper's.
        arms: which arms' data it learns from.
        device: "cpu", "cuda", …
    """

    folder: str = ""
    rank: int = 10
    size: int = 490
    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(
            learning_rate=1e-5, batch_size=4, epochs=1000, max_updates=6000, warmup_updates=120, weight_decay=0.05
        )
    )
    arms: tuple[str, ...] = ("composite",)
    device: str = "cuda"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diffusers:
    """The paper's generator in the place of the composite one.

    Attributes:
        base: folder or hub name of Stable Diffusion 1.5; "" draws by compositing.
        controlnet: of the context's ControlNet.
        size, steps: of what is drawn.
        device: "cpu", "cuda", …
    """

    base: str = ""
    controlnet: str = "lllyasviel/control_v11p_sd15_softedge"
    size: int = 512
    steps: int = 20
    device: str = "cuda"


@dataclass(frozen=True, slots=True)
class Config:
    """KALIE on the table top.

    Attributes:
        name: the run's folder is `runs/NAME`.
        seed: of images, clicks, synthesis, weights and exploration. Test scenes are the same for every seed.
        preset_name: which preset these settings started from.
        tasks: which of the five.
        images: labelled images of each task, all of the training set of objects.
        click_noise: of the annotator, pixels of a 224-pixel image.
        trial_arms: arms (of `ARMS`) whose keypoints are executed.
        error_arms: further arms whose keypoints are only measured, on `error_tasks` (the paper's ablations: sweeping).
        error_tasks: see there.
        scripts: policies that do not learn, executed too.
        sets: unseen geometry sets; 4 is the harder one.
        trials: of each task and set, for each trial arm and the oracle.
        script_trials: of each task and set, for marks and chance.
        net: of the networks.
        rl: learning from success.
        vlm, diffusers: the paper's own parts, where there are weights.
        processes: scenes worked on and networks trained at once.
        films: trials of each task that are filmed for the report.
    """

    name: str = "kalie-paper"
    seed: int = 0
    preset_name: str = "paper"
    tasks: tuple[str, ...] = TASKS
    images: int = 50
    click_noise: float = 3.0
    trial_arms: tuple[str, ...] = ("standard", "strong_colour", "composite", "composite_10")
    error_arms: tuple[str, ...] = (
        "none", "still_labels", "wide", "wide_still_labels", "appearance", "segmentation", "depth", "canny",
        "regression", "text",
    )  # fmt: skip
    error_tasks: tuple[str, ...] = ("trash_sweeping",)
    scripts: tuple[str, ...] = ("oracle", "marks", "random")
    sets: tuple[int, ...] = (1, 2, 3, 4)
    trials: int = 50
    script_trials: int = 50
    net: NetSettings = field(default_factory=NetSettings)
    rl: Rl = field(default_factory=Rl)
    vlm: Vlm = field(default_factory=Vlm)
    diffusers: Diffusers = field(default_factory=Diffusers)
    processes: int = 2
    films: int = 2

    @classmethod
    def preset(cls, name: str) -> "Config":
        """smoke: for tests. laptop: makes the recorded results. paper: the paper's model and generator, for a GPU."""
        presets = {
            "smoke": cls(
                name="kalie-smoke",
                preset_name="smoke",
                tasks=("drawer_closing", "unplugging"),
                images=4,
                trial_arms=("standard", "composite"),
                error_arms=("still_labels",),
                error_tasks=("drawer_closing",),
                scripts=("oracle", "random"),
                sets=(1,),
                trials=2,
                script_trials=1,
                net=NetSettings(size=64, updates=6, batch=4),
                rl=Rl(start="composite", iterations=1, rollouts=3, updates=3),
                processes=0,
                films=1,
            ),
            "laptop": cls(
                name="kalie-laptop-s0",
                preset_name="laptop",
                script_trials=15,
                net=NetSettings(size=96, updates=500),
            ),
            "paper": cls(
                vlm=Vlm(folder="models/cogvlm-base-490-hf"),
                diffusers=Diffusers(base="stable-diffusion-v1-5/stable-diffusion-v1-5"),
                processes=8,
            ),
        }
        if name not in presets:
            raise unknown_preset(name, presets)
        return presets[name]

    @property
    def arms(self) -> tuple[str, ...]:
        """All arms that learn, in the order in which they are named."""
        return tuple(dict.fromkeys((*self.trial_arms, *self.error_arms)))
