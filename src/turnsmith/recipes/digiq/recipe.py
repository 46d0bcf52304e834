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
draws candidates at every step of an episode, and the best by Q is done. See `recipes.digiq.arm_names` for all names.

Without `--from` the run makes its own log as `digirl` does: demonstrations, a first policy, its episodes.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from turnsmith.engine.sampling import turn_seed
from turnsmith.errors import UserError
from turnsmith.evaluate.summary import rewards_by_task, summarize
from turnsmith.recipes.digiq.arm_names import parse_arm
from turnsmith.recipes.digiq.arms import Bench
from turnsmith.recipes.digiq.config import Config
from turnsmith.recipes.shared import phone as phones
from turnsmith.recipes.shared import phone_policy as policies
from turnsmith.runs.config import changed, to_json
from turnsmith.runs.progress import console
from turnsmith.runs.run import Run, find_run
from turnsmith.trace.store import Store
from turnsmith.trace.types import Trace


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
    stage = config.representation
    if stage.model and not Path(stage.model).is_dir():
        raise UserError(f"representation.model: {stage.model}: there is no such folder of a LLaVA-type model.")
    if stage.model and stage.augment:
        raise UserError("representation.augment moves screens for the small reader; leave it 0 with a model.")
    with Run(Path("runs") / config.name, to_json("digiq", config), may_grow=("arms",)) as run:
        asyncio.run(phones.in_one_browser(_main(config, run)))
    if config.preset_name == "laptop" and not changed(config, free=("source", "first", "device", "arms")):
        from turnsmith.recipes.digiq.claims import record_digiq

        record_digiq(config)
    from turnsmith.view.report import write_report

    return write_report(run.folder, traces=10)


async def _main(config: Config, run: Run) -> None:
    started = time.time()
    run.report(status="running", recipe="digiq", config=run.config)
    log, behaviour, test = await _data(config, run)
    console.print(f"{len(log)} logged episodes, {sum(one.success for one in log):.0f} of them rewarded")
    stores = {f"{path.parent.name}/": path for path in map(find_run, config.source)} or {"": run.store.path}
    bench = await asyncio.to_thread(Bench, config, run, log, behaviour, stores)
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
    from turnsmith.critics.episodes import read

    test = config.phone.tasks("test", config.test_tasks, seed=0) if config.test_tasks else []
    if config.source:
        log, behaviour = await asyncio.to_thread(_from_runs, config, run)
        if test:
            from turnsmith.tasks.splits import check_overlap

            check_overlap([one.trace.task for one in log], test)
        return log, behaviour, test
    seed = turn_seed(config.seed + 1, 0)
    phones.check_splits(config.phone, test, config.policy.demonstrations, [config.seed])
    phones.check_splits(config.phone, test, config.offline_rollouts, [seed])
    behaviour = await policies.warm_start(run, config.phone, config.policy, config.seed, config.device, config.first)
    judge = phones.make_judge(run, config.phone, behaviour, config.features, config.seed)
    tasks = config.phone.tasks("train", config.offline_rollouts, seed)
    traces = await phones.play(run, config.phone, behaviour, tasks, "offline", 0, seed, judge)
    phones.report_agreement(run, "offline", judge, traces)
    return read(run.store, ["offline"], judge=config.judge)[: config.episodes], behaviour, test


def _from_runs(config: Config, run: Run) -> tuple[list[Any], Any]:
    """Episodes of other runs and the first policy of these runs; a clone of the log where they have none in common.

    Raises:
        UserError: if they have no device episodes.
    """
    from turnsmith.agents.frames import Frames
    from turnsmith.agents.screen_policy import load_screen_policy
    from turnsmith.critics.episodes import played
    from turnsmith.engine.sampling import Sampling

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
    from turnsmith.agents.screen_policy import load_screen_policy
    from turnsmith.learn import checkpoint

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
    from turnsmith.evaluate.show import summary_table

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
