"""Settings of PAE: the defaults are the paper's (arXiv 2412.13194), presets say what differs. No torch here."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated

import tyro

from turnsmith.judges.outcome_config import JudgeConfig
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


class Arm(StrEnum):
    """What is compared. All that learn make the same number of episodes and of updates."""

    SFT_MORE = "sft_more"
    """The demonstrations again, for as many updates."""
    NAME = "pae_name"
    """PAE: tasks proposed from the site's name alone, rewards by the judge."""
    DEMOS = "pae_demos"
    """PAE: tasks proposed from the demonstrations, rewards by the judge."""
    ORACLE = "oracle_reward"
    """The tasks of `NAME`, rewards by the oracle: what the judge's errors cost."""
    TRUE_TASKS = "true_tasks"
    """The sites' own training tasks and the oracle: the ceiling, which needs what PAE does without."""
    NO_THOUGHTS = "no_thoughts"
    """`NAME` with a policy that never writes a thought, demonstrations included."""


class Tests(StrEnum):
    """What is evaluated, by the oracle alone."""

    TEMPLATES = "eval"
    """Templates that no training task has, on the training sites."""
    UNSEEN = "eval-unseen"
    """Sites that nothing in the run has seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposals:
    """What is proposed, and from what.

    Attributes:
        worlds: worlds of each site that are explored for the context "name".
        steps: steps of each exploration.
        casual: how often the local proposer calls a thing by its last word only.
        habit: how much more often it proposes what people did (context "demonstrations").
    """

    worlds: int = 24
    steps: int = 16
    casual: float = 0.04
    habit: float = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSite:
    """A site of yours instead of the local ones; docs/own_site.md.

    Attributes:
        site: its address. Empty: the local sites are played.
        acts: who acts, and learns where it is a folder: a model folder, a checkpoint, or "openai:MODEL@URL", which only
            acts. On the command line: --policy.
        allow: further hostnames that episodes may reach ("*.example.org": every subdomain).
        dry_run: propose tasks, show them, and stop.
        allow_writes: let the browser send what is not a GET. Without it, such requests are refused.
        reset: brings the site's state back before each episode: an address (POSTed to) or a shell command. Episodes
            are then played one at a time.
        storage_state: a file of cookies and local storage, as Playwright saves it: episodes are logged in.
        login: the address of a login form, filled in once before anything is recorded, with the environment variables
            TURNSMITH_LOGIN_USER and TURNSMITH_LOGIN_PASSWORD. Neither they nor what they are enter a trace.
        tasks: how many tasks are proposed.
        browsing: a run whose demonstrations the proposer reads (`turnsmith record` makes them).
        explore: episodes in which the local proposer looks around.
    """

    site: str = ""
    acts: Annotated[str, tyro.conf.arg(name="policy")] = ""
    allow: tuple[str, ...] = ()
    dry_run: bool = False
    allow_writes: bool = False
    reset: str = ""
    storage_state: str = ""
    login: str = ""
    tasks: int = 50
    browsing: str = ""
    explore: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """PAE on the local sites, or on a site of yours.

    Attributes:
        name: the run's folder is `runs/NAME`; each arm has one of its own in `runs/NAME/arms`.
        seed: of everything but the test tasks.
        preset_name: which preset these settings started from (recorded results combine the seeds of one preset).
        web: the training sites, horizon, sessions, what is seen.
        unseen: sites that only the test of unseen sites uses.
        policy: who acts and learns on the local sites.
        judge: "local" (fitted on the demonstrations), "openai:MODEL@URL", or the folder of a local judge that a run
            fitted (`runs/NAME/made/judge`).
        proposer: "local" (its own grammar) or "openai:MODEL@URL".
        demonstrations: of the warm start, good and bad alike.
        sft: training on them.
        judge_fit: of the local judge.
        proposals: what is proposed, and from what.
        arms: what is compared with the warm start; a run that goes on may be given more.
        iterations, rollouts: K and N.
        keep: the most successful trajectories that an update uses, drawn from those of all iterations.
        update: training in each iteration.
        shortest: of tasks that succeeded at least twice, keep only successes not longer than this quantile of their
            lengths (the authors' code: 0.2); 1 keeps all, as the paper says.
        rename: learn everything under new names (`transforms.rename`); for small policies.
        test_tasks, unseen_tasks: of the two tests.
        pictures: how many evaluation episodes are recorded with screenshots where the policy sees none.
        own: a site of yours.
    """

    name: str = "pae-paper"
    seed: int = 0
    preset_name: str = "paper"
    web: WebConfig = field(default_factory=lambda: WebConfig(sites=("shop", "forum", "docs")))
    unseen: tuple[str, ...] = ("recipes", "courses")
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    judge: str = "openai:claude-3-sonnet-20240229@http://localhost:4000/v1"
    proposer: str = "openai:claude-3-sonnet-20240229@http://localhost:4000/v1"
    demonstrations: Demonstrations = field(default_factory=Demonstrations)
    sft: OptimConfig = PAPER_SFT
    judge_fit: JudgeConfig = field(default_factory=JudgeConfig)
    proposals: Proposals = field(default_factory=Proposals)
    arms: tuple[Arm, ...] = (Arm.NAME, Arm.DEMOS)
    iterations: int = 20
    rollouts: int = 512
    keep: int = 1024
    update: OptimConfig = PAPER_UPDATE
    shortest: float = 1.0
    rename: bool = False
    test_tasks: int = 512
    unseen_tasks: int = 512
    pictures: int = 12
    own: Annotated[OwnSite, tyro.conf.OmitArgPrefixes] = field(default_factory=OwnSite)

    @classmethod
    def preset(cls, name: str) -> "Config":
        """smoke: for tests. laptop: makes the recorded results. paper: for GPUs, judge and proposer at endpoints."""
        presets = {
            "smoke": cls(
                name="pae-smoke",
                preset_name="smoke",
                web=WebConfig(sites=("shop",), horizon=7, sessions=2, screenshots=False),
                unseen=("recipes",),
                policy=replace(
                    SHIPPED, model="scratch", scratch=SmallModel(vocab_size=1300, width=32), max_new_tokens=16
                ),
                judge="local",
                proposer="local",
                demonstrations=Demonstrations(count=14, noise=0.4, wander=0.0),
                sft=replace(SMALL_OPTIM, learning_rate=1e-3),
                judge_fit=JudgeConfig(updates=30, members=2),
                proposals=Proposals(worlds=2, steps=5),
                arms=(Arm.SFT_MORE, Arm.NAME),
                iterations=1,
                rollouts=4,
                update=replace(SMALL_OPTIM, learning_rate=1e-3, max_updates=2),
                rename=True,
                test_tasks=2,
                unseen_tasks=2,
                pictures=1,
            ),
            "laptop": cls(
                name="pae-laptop-s0",
                preset_name="laptop",
                web=WebConfig(sites=("shop", "forum", "docs"), horizon=10, sessions=8, screenshots=False),
                policy=replace(SHIPPED, model="scratch"),
                judge="local",
                proposer="local",
                demonstrations=Demonstrations(count=900, noise=0.3, wander=0.05),
                sft=replace(SMALL_OPTIM, learning_rate=1.5e-3, epochs=4, warmup_updates=50, schedule="cosine"),
                arms=tuple(Arm),
                iterations=4,
                rollouts=160,
                update=replace(SMALL_OPTIM, epochs=10_000, max_updates=150),
                rename=True,
                test_tasks=90,
                unseen_tasks=90,
            ),
            "paper": cls(),
        }
        if name not in presets:
            raise unknown_preset(name, presets)
        return presets[name]
