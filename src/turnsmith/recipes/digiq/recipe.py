"""Digi-Q (arXiv 2502.15760): learn Q(s, a) from logged episodes, then score actions that were never executed.

    log  = episodes of a behaviour policy π_β                       (`--from RUN`: any logged device run)
    stage 1: a vision-language model learns "does this action change the screen?"; then it is frozen
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
from pathlib import Path

from turnsmith.errors import UserError
from turnsmith.evaluate.show import summary_table
from turnsmith.evaluate.summary import rewards_by_task, summarize
from turnsmith.recipes.digiq.arm_names import parse_arm
from turnsmith.recipes.digiq.claims import record_claims
from turnsmith.recipes.digiq.config import Config
from turnsmith.recipes.digiq.log import make_log, read_log
from turnsmith.recipes.digiq.stages import SharedStages
from turnsmith.recipes.shared import phone as phones
from turnsmith.recipes.shared.phone_config import check
from turnsmith.runs.config import changed, to_json
from turnsmith.runs.progress import console
from turnsmith.runs.run import Run
from turnsmith.view.report import write_report


def main(config: Config) -> Path:
    """Run the recipe, or go on with a run that was stopped.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: if something that the user can mend is missing or wrong.
    """
    _check(config)
    with Run(Path("runs") / config.name, to_json("digiq", config), may_grow=("arms",)) as run:
        asyncio.run(phones.in_one_browser(_main(config, run)))
    if config.preset_name == "laptop" and not changed(config, free=("source", "first", "device", "arms")):
        record_claims(config)
    return write_report(run.folder, traces=10)


def _check(config: Config) -> None:
    """Say at the start what such a run lacks."""
    most = max((parse_arm(arm).candidates or 1 for arm in config.arms), default=1)
    if most > config.extraction.candidates:
        raise UserError(f"best-of-{most} needs extraction.candidates of at least {most}.")
    stage = config.representation
    if stage.kind == "llava" and not stage.model:
        raise UserError(
            "representation.kind llava needs --representation.model FOLDER of a LLaVA-type model "
            "(llava-hf/llava-1.5-7b-hf). Without one: --representation.kind small, with an autoencoder's features."
        )
    if stage.kind == "llava" and not Path(stage.model).is_dir():
        raise UserError(f"representation.model: {stage.model}: there is no such folder of a LLaVA-type model.")
    if stage.kind == "llava" and (stage.augment or stage.foresee):
        raise UserError("representation.augment and foresee are the small reader's; leave them 0 with llava.")
    if stage.kind == "small" and config.features.kind != "autoencoder":
        raise UserError("representation.kind small starts from an autoencoder: set --features.kind autoencoder.")
    check(config.phone, config.policy, config.features, makes_log=not config.source)


async def _main(config: Config, run: Run) -> None:
    started = time.time()
    run.report(status="running", recipe="digiq", config=run.config)
    test = phones.draw_tasks(config.phone, "test", config.test_tasks, seed=0) if config.test_tasks else []
    log = await (read_log if config.source else make_log)(config, run, test)
    won = sum(episode.success for episode in log.episodes)
    console.print(f"{len(log.episodes)} logged episodes, {won:.0f} of them rewarded")
    test *= config.test_rollouts

    stages = await asyncio.to_thread(SharedStages, config, run, log)
    if test:
        await phones.play(run, config.phone, log.behaviour, test, "eval-behaviour")
    for arm in config.arms:
        policy = await asyncio.to_thread(stages.learn, arm)
        if test:
            await phones.play(run, config.phone, policy, test, f"eval-{arm}", 1)
    _report(config, run, time.time() - started)


def _report(config: Config, run: Run, seconds: float) -> None:
    """Print the table and write `report.json`."""
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
