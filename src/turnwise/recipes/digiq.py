"""Digi-Q (arXiv 2502.15760): learn Q(s, a) from logged episodes, then score actions that were never executed.

    log  = episodes of a behaviour policy π_β                       (`--from RUN`: any logged device run)
    stage 1: an image encoder learns "does this action change the screen?"; then it is frozen
    stage 2: Q and V by temporal differences on its features, slow copies, no maximum over actions
    stage 3: for each state N actions from π_β; the best by Q is imitated where it beats V
    evaluate on held-out tasks by the oracle

All arms start from π_β, learn from the same log with as many actor updates, and but for the last act without
re-ranking. `fbc` imitates successes, `digirl` filters steps offline, `digiq` is the method, and the others change one
thing of it: `mc` and `td-0` the backup, `no-representation` leaves stage 1 out, `argmax` takes the best candidate,
`awr` and `reinforce` executed actions, `best-of-N` N candidates. `ARM-ranked` trains nothing more: that arm's policy
draws candidates at every step of an episode, and the best by Q is done. See `recipes.digiq_names` for all names.

Without `--from` the run makes its own log as `digirl` does: demonstrations, a first policy, its episodes.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from turnwise.engine.sampling import turn_seed
from turnwise.errors import UserError
from turnwise.evaluate.summary import rewards_by_task, summarize
from turnwise.learn.change import EPSILON
from turnwise.learn.doubly_robust import CreditConfig
from turnwise.learn.qlearning import QConfig
from turnwise.recipes import phone as phones
from turnwise.recipes import phone_policy as policies
from turnwise.recipes.config import changed, to_json, unknown_preset
from turnwise.recipes.digiq_arms import Bench
from turnwise.recipes.digiq_names import LEARNERS, parse_arm
from turnwise.recipes.phone import FeatureConfig, PhoneConfig
from turnwise.recipes.phone_policy import PolicyConfig
from turnwise.recipes.progress import console
from turnwise.trace.run import Run, find_run
from turnwise.trace.store import Store
from turnwise.trace.types import Trace


@dataclass(frozen=True, slots=True)
class Representation:
    """Stage 1.

    Attributes:
        updates, batch_size, learning_rate: of the action reader.
        epsilon: from which pixel difference on a screen has changed.
        foresee: weight of foreseeing the next screen's vector, beside whether it changes; 0 in the paper.
    """

    updates: int = 12_000
    batch_size: int = 32
    learning_rate: float = 5e-4
    epsilon: float = EPSILON
    foresee: float = 1.0


@dataclass(frozen=True, slots=True)
class Extraction:
    """Stage 3.

    Attributes:
        candidates: N.
        states: logged states for which candidates are drawn.
        where: whether these are states of "all" episodes, as in the paper, or of rewarded ones, where a good policy
            will be again; critics learn from all episodes.
        temperature: of drawing them.
        pick: "best" imitates the best candidate where it gains `margin` over V, as the paper does; "softmax" one of
            every state, drawn by exp((Q − V) / β).
        pick_temperature: that β, in units of success.
        margin: what the best must gain (the paper: 0; the authors' code: 1/H).
        awr_temperature: β of the AWR arm; weights are clipped at 20.
        updates, batch_size, learning_rate: of every arm's actor.
    """

    candidates: int = 16
    states: int = 8000
    where: Literal["all", "successes"] = "successes"
    temperature: float = 1.0
    pick: Literal["softmax", "best"] = "softmax"
    pick_temperature: float = 0.03
    margin: float = 0.0
    awr_temperature: float = 0.05
    updates: int = 400
    batch_size: int = 32
    learning_rate: float = 1e-3


@dataclass(frozen=True, slots=True)
class Config:
    """Digi-Q on logged device episodes.

    Attributes:
        name: the run's folder is `runs/NAME`.
        seed: of everything but the test tasks.
        preset_name: which preset these settings started from.
        source: runs with logged device episodes (`--from RUN RUN`); none: the run makes its own.
        phases: which of their phases are learned from; none: all that are no evaluations or demonstrations.
        episodes: how many of these episodes are used, oldest first; None for all.
        first: without a source, a run whose first policy makes the log, as in `digirl`; "" makes one.
        judge: whose verdict counts in a log whose steps no evaluator rewarded.
        phone, policy, features: as in `digirl`; the policy is made only without a source.
        representation, critics, extraction: the three stages.
        credit: of the `digirl` arm.
        step_critic: updates of that arm's V_step.
        arms: which are run; a run that has ended may be given more and keeps what it has. Results combine the runs
            that have the same.
        offline_rollouts: episodes of the first policy, without a source.
        test_tasks: held-out tasks; 0 leaves the evaluation out (a log of a phone that is not at hand).
        test_rollouts: episodes of each of them in an evaluation.
        device: of the policy and the image encoders, such as "cpu" or "cuda"; the phones' browser is on the CPU.
    """

    name: str = "digiq-laptop-s0"
    seed: int = 0
    preset_name: str = "laptop"
    source: Annotated[tuple[str, ...], tyro.conf.arg(name="from")] = ()
    phases: tuple[str, ...] = ()
    episodes: int | None = None
    first: str = ""
    judge: str = "oracle"
    phone: PhoneConfig = field(default_factory=PhoneConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    representation: Representation = field(default_factory=Representation)
    critics: QConfig = field(default_factory=QConfig)
    extraction: Extraction = field(default_factory=Extraction)
    credit: CreditConfig = field(default_factory=lambda: CreditConfig(mix=0.1, threshold=0.02))
    step_critic: int = 300
    arms: tuple[str, ...] = (
        "fbc", "digirl", "digiq", "no-representation", "mc", "awr", "best-of-1", "digirl-likeliest", "digirl-ranked",
        "digiq-ranked",
    )  # fmt: skip
    offline_rollouts: int = 400
    test_tasks: int = 96
    test_rollouts: int = 2
    device: str = "cpu"

    @classmethod
    def preset(cls, name: str) -> "Config":
        """smoke: for tests. laptop: makes the recorded results. paper: the paper's numbers."""
        presets = {
            "smoke": cls(
                name="digiq-smoke",
                preset_name="smoke",
                phone=PhoneConfig(phones=2, horizon=3, weather=0.3, false_positive=0.4),
                policy=policies.TINY_POLICY,
                features=FeatureConfig(16, 2),
                representation=Representation(2, 4),
                critics=QConfig(updates=3, batch_size=4, width=16, value_updates=3),
                extraction=Extraction(3, 4, "all", updates=2, batch_size=4),
                arms=(*LEARNERS[:-1], "best-of-1", "digiq-ranked", "fbc@3-ranked-by-mc-2", "behaviour-likeliest"),
                offline_rollouts=3,
                test_tasks=1,
                test_rollouts=1,
            ),
            "laptop": cls(),
            "paper": cls(
                name="digiq-paper",
                preset_name="paper",
                offline_rollouts=1296,
                representation=Representation(1500, epsilon=30.0, foresee=0.0),
                critics=QConfig(
                    "direct", discount=0.95, decay=0.0, batch_size=128, learning_rate=1e-5, grad_clip=0.01, heads="max"
                ),
                extraction=Extraction(
                    16, 20_000, "all", 1.2, "best", margin=0.05, updates=900, batch_size=128, learning_rate=1e-4
                ),
                credit=CreditConfig(),
                test_rollouts=1,
            ),
        }
        if name not in presets:
            raise unknown_preset(name, presets)
        return presets[name]


def main(config: Config) -> Path:
    """Run the recipe, or go on with a run that was stopped.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: if something that the user can mend is missing or wrong.
    """
    most = max((parse_arm(arm).candidates or 1 for arm in config.arms), default=1)
    if most > config.extraction.candidates:
        raise UserError(f"best-of-{most} needs extraction.candidates of at least {most}.")
    with Run(Path("runs") / config.name, to_json("digiq", config), may_grow=("arms",)) as run:
        asyncio.run(phones.in_one_browser(_main(config, run)))
    if config.preset_name == "laptop" and not changed(config, free=("source", "first", "device", "arms")):
        from turnwise.recipes.device_claims import record_digiq

        record_digiq(config)
    from turnwise.view.report import write_report

    return write_report(run.folder, traces=10)


async def _main(config: Config, run: Run) -> None:
    started = time.time()
    run.report(status="running", recipe="digiq", config=run.config)
    log, behaviour, test = await _data(config, run)
    console.print(f"{len(log)} logged episodes, {sum(one.success for one in log):.0f} of them rewarded")
    bench = await asyncio.to_thread(Bench, config, run, log, behaviour)
    test *= config.test_rollouts
    if test:
        await phones.play(run, config.phone, behaviour, test, "eval-behaviour")
    for arm in config.arms:
        policy = await asyncio.to_thread(bench.learn, arm)
        if test:
            await phones.play(run, config.phone, policy, test, f"eval-{arm}", 1)
    _report(config, run, time.time() - started)


async def _data(config: Config, run: Run) -> tuple[list[Any], Any, list[Any]]:
    """The log, π_β and the test tasks."""
    from turnwise.learn.replay import read

    test = config.phone.tasks("test", config.test_tasks, seed=0) if config.test_tasks else []
    if config.source:
        log, behaviour = await asyncio.to_thread(_from_runs, config, run)
        if test:
            from turnwise.tasks.splits import check_overlap

            check_overlap([one.trace.task for one in log], test)
        return log, behaviour, test
    seed = turn_seed(config.seed + 1, 0)
    phones.check_splits(config.phone, test, config.policy.demonstrations, [config.seed])
    phones.check_splits(config.phone, test, config.offline_rollouts, [seed])
    behaviour = await policies.warm_start(run, config.phone, config.policy, config.seed, config.device, config.first)
    evaluator = phones.make_evaluator(run, config.phone, behaviour, config.features, config.seed)
    tasks = config.phone.tasks("train", config.offline_rollouts, seed)
    traces = await phones.play(run, config.phone, behaviour, tasks, "offline", 0, seed, evaluator)
    phones.report_agreement(run, "offline", traces)
    return read(run.store, ["offline"], judge=config.judge)[: config.episodes], behaviour, test


def _from_runs(config: Config, run: Run) -> tuple[list[Any], Any]:
    """Episodes of other runs and the first policy of these runs; a clone of the log where they have none in common.

    Raises:
        UserError: if they have no device episodes.
    """
    from turnwise.agents.frames import Frames
    from turnwise.agents.screen_policy import load_screen_policy
    from turnwise.engine.sampling import Sampling
    from turnwise.learn.replay import played

    log: list[Any] = []
    stores: dict[str, Store] = {}
    firsts = set()
    for source in config.source:
        path = find_run(source)
        store = Store(path, read_only=True)
        firsts.add(policies.first_policy_of(path.parent))
        for row in _wanted(store, config.phases):
            if config.episodes is None or len(log) < config.episodes:
                one = played(store.get(row.id), config.judge)
                if one is not None:  # two runs may have used the same id
                    log.append(replace(one, trace=replace(one.trace, id=f"{path.parent.name}/{one.trace.id}")))
                    stores.update((image.digest, store) for image in one.screens)
    sources = ", ".join(config.source)
    if not log:
        raise UserError(f"{sources}: no device episodes to learn from (turns with screenshots).")
    frames = Frames(lambda digest: stores[digest].image(digest))
    sampling = Sampling(temperature=config.policy.temperature, max_new_tokens=24)
    first = firsts.pop() if len(firsts) == 1 else None
    if first is not None:
        return log, load_screen_policy(first, sampling=sampling, frames=frames, version="first", device=config.device)
    console.print(f"{sources}: no first policy at hand; π_β is cloned from the log's actions")
    log = [replace(one, trace=_without_ids(one.trace)) for one in log]
    return log, _clone(config, run, [one.trace for one in log], frames, sampling)


def _wanted(store: Store, phases: Sequence[str]) -> list[Any]:
    """The rows of a store that are learned from."""
    rows = store.summaries()
    if phases:
        return [row for row in rows if row.phase in phases]
    return [row for row in rows if not row.phase.startswith(("eval", "demonstr"))]


def _without_ids(trace: Trace) -> Trace:
    """The trace without token ids, which are another policy's: actions are encoded anew from their text."""
    turns = [
        replace(turn, action=replace(turn.action, prompt_ids=(), token_ids=(), logprobs=())) for turn in trace.turns
    ]
    return replace(trace, turns=tuple(turns))


def _clone(config: Config, run: Run, traces: Sequence[Trace], frames: Any, sampling: Any) -> Any:
    """Behaviour cloning of a log: π_β where the policy that made it is not at hand."""
    from turnwise.agents.screen_policy import load_screen_policy
    from turnwise.learn import checkpoint

    folder = policies.checkpoints_of(run, "clone")
    done = checkpoint.latest(folder)
    if done is not None:
        return load_screen_policy(done, sampling=sampling, frames=frames, version="clone", device=config.device)
    policy, _ = policies.clone(
        "cloning the log's policy", traces, config.policy, sampling, frames, config.seed, "clone", config.device
    )
    checkpoint.save(folder, 0, policy.model, policy.tokenizer)
    return policy


def _report(config: Config, run: Run, seconds: float) -> None:
    """Print the table and write `report.json`."""
    from turnwise.evaluate.show import summary_table

    summaries, rows, rewards = {}, [], {}
    for name in ("behaviour", *config.arms):
        traces = list(run.store.traces(phase=f"eval-{name}"))
        if traces:
            summaries[name] = summarize(traces)
            rewards[name] = rewards_by_task(traces)
            low, high = summaries[name].interval
            rows.append({"name": name, "value": summaries[name].success, "low": low, "high": high, "unit": "success"})
    if summaries:
        console.print(summary_table(summaries, "Held-out tasks, by the oracle"))
    kls = {row["phase"][4:]: row["token_kl"] for row in run.metrics() if str(row.get("phase", "")).startswith("arm-")}
    console.print("token KL to π_β: " + ", ".join(f"{name} {value:.3f}" for name, value in kls.items()))
    console.print(f"{seconds / 60:.1f} minutes; everything is in {run.folder}")
    run.report(status="done", summary=rows, rewards=rewards, token_kl=kls, seconds=round(seconds, 1))
