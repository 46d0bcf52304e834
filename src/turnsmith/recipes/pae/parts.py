"""What every arm of PAE shares, made once and kept: the proposed tasks, and the judge."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from turnsmith.engine.openai_client import endpoint_of
from turnsmith.engine.sampling import turn_seed
from turnsmith.envs.browser import BrowserEnvironment
from turnsmith.errors import UserError
from turnsmith.judges.base import Judge
from turnsmith.judges.outcome import OutcomeJudge, OutcomeModel, fit_judge
from turnsmith.judges.outcome_endpoint import EndpointOutcomeJudge
from turnsmith.recipes.pae.config import Config
from turnsmith.rollout.collect import Episode, Limits
from turnsmith.rollout.stored import collect_into
from turnsmith.runs.once import JsonFormat
from turnsmith.runs.progress import console, progress_bar
from turnsmith.runs.run import Run
from turnsmith.tasks.files import load_tasks, save_tasks
from turnsmith.tasks.propose import Accepted, Explorer, GrammarProposer, Proposal, accept
from turnsmith.tasks.propose.endpoint import EndpointProposer, Site
from turnsmith.tasks.propose.explorer import exploration_task
from turnsmith.trace.types import Task, Trace
from turnsmith.worlds.sites.referee import with_truth
from turnsmith.worlds.sites.words import WORLDS

CONTEXTS = ("name", "demonstrations")


@dataclass(frozen=True, slots=True)
class Proposed:
    """Tasks by context, and how many of them are sound, trivial, ambiguous or impossible (by the referee)."""

    tasks: dict[str, list[Task]]
    quality: dict[str, dict[str, int]]


class TaskFormat:
    """Tasks as they lie on disk."""

    def write(self, value: Sequence[Task], folder: Path) -> None:
        """One JSONL file."""
        save_tasks(value, folder / "tasks.jsonl")

    def read(self, folder: Path) -> list[Task]:
        """The tasks."""
        return load_tasks(folder / "tasks.jsonl")


async def explored(config: Config, run: Run, environment: BrowserEnvironment) -> list[Trace]:
    """A look around some training worlds of each site: what "from the name alone" means to the local proposer."""
    count, seed = config.proposals.worlds, config.seed
    episodes = []
    for site in config.web.sites:
        for number in range(count):
            world = turn_seed(seed + 7000, number) % len(WORLDS["train"])
            task = exploration_task(site, {"site": site, "world": world}, number)
            episodes.append(Episode(task.id, task, turn_seed(seed + 7000, len(episodes)), "explore"))
    with progress_bar("looking around", len(episodes)) as advance:
        return await collect_into(
            run.store,
            environment,
            Explorer(),
            episodes,
            Limits(horizon=config.proposals.steps),
            workers=config.web.sessions,
            on_trace=lambda _: advance(),
        )


async def proposed_tasks(
    config: Config, run: Run, environment: BrowserEnvironment, demonstrations: Sequence[Trace], test: Sequence[Task]
) -> Proposed:
    """The proposals of both contexts as tasks, each with its truth in its hidden part where that can be found out.

    Raises:
        UserError: if a proposal overlaps a test task, or next to nothing could be proposed.
    """
    count = config.iterations * config.rollouts
    tasks: dict[str, list[Task]] = {}
    quality: dict[str, dict[str, int]] = {}
    made_of = {key: run.config[key] for key in ("seed", "web", "proposer", "proposals", "demonstrations")}
    for context in CONTEXTS:
        read = demonstrations if context == "demonstrations" else await explored(config, run, environment)
        if config.proposer == "local":
            settings = config.proposals
            proposer = GrammarProposer(context, casual=settings.casual, habit=settings.habit, seed=config.seed)
            written = proposer.propose(read, count + count // 4)
        else:
            written = await _by_model(config, run, context, read, count)
        accepted = accept(written, avoid=test, prefix=context, limit=count)
        if len(accepted.tasks) < min(count, config.rollouts) / 2:
            raise UserError(
                f"the proposer found only {len(accepted.tasks)} tasks from {context}: let it see more "
                "(--proposals.worlds, --proposals.steps, --demonstrations.count)."
            )

        def with_goals(accepted: Accepted = accepted) -> list[Task]:
            return asyncio.run(with_truth(accepted.tasks))

        inputs = {**made_of, "count": count}
        tasks[context] = await asyncio.to_thread(run.once, f"proposals/{context}", inputs, with_goals, TaskFormat())
        quality[context] = dict(Counter(str(task.hidden.get("quality", "unknown")) for task in tasks[context]))
        _tell(run, context, accepted, quality[context])
    return Proposed(tasks, quality)


def _tell(run: Run, context: str, accepted: Accepted, quality: Mapping[str, int]) -> None:
    """Log and print how many proposals there are, of which kinds, and what became of the rest."""
    named = {f"kind_{name}": number for name, number in accepted.kinds.items()}
    named |= {f"rejected_{name.replace(' ', '_')}": number for name, number in accepted.rejected.items()}
    phase = f"proposals-{context}"
    run.drop_metrics([row for row in run.metrics() if row.get("phase") != phase])  # a run that goes on says it once
    run.log(phase=phase, iteration=0, proposed=len(accepted.tasks), **quality, **named)
    found = ", ".join(f"{number} {name}" for name, number in sorted(quality.items()))
    refused = sum(accepted.rejected.values())
    console.print(f"{len(accepted.tasks)} tasks proposed from {context}: {found}; refused before: {refused}")


async def _by_model(config: Config, run: Run, context: str, read: Sequence[Trace], count: int) -> list[Proposal]:
    """What a model proposes for the training sites, world by world; asked once, then kept."""
    endpoint = endpoint_of(config.proposer, "proposer")
    worlds: dict[tuple[str, int], list[Trace]] = {}
    for trace in read:
        worlds.setdefault((str(trace.task.params["site"]), int(trace.task.params["world"])), []).append(trace)
    each = max(1, -(-count // max(1, len(worlds))))

    async def asked() -> list[Proposal]:
        proposer = EndpointProposer(endpoint, seed=config.seed)
        found: list[Proposal] = []
        try:
            for (name, world), traces in worlds.items():
                if len(found) >= count:
                    break
                site = Site(name, {"site": name, "world": world})
                shown = [run.store.with_images(trace) for trace in traces] if context == "demonstrations" else []
                found += await proposer.propose(site, each, shown)
        finally:
            await proposer.close()
        return found

    inputs = {"seed": config.seed, "proposer": config.proposer, "count": count, "worlds": len(worlds)}
    kept = JsonFormat(
        decode=lambda rows: [Proposal(**row) for row in rows],
        encode=lambda found: [asdict(proposal) for proposal in found],
    )
    return await asyncio.to_thread(run.once, f"proposed/{context}", inputs, lambda: asyncio.run(asked()), kept)


class JudgeFormat:
    """A fitted judge as it lies on disk."""

    def write(self, value: OutcomeModel, folder: Path) -> None:
        """Weights and threshold."""
        value.save(folder)

    def read(self, folder: Path) -> OutcomeModel:
        """The judge's model."""
        return OutcomeModel.load(folder)


def given_judge(config: Config) -> EndpointOutcomeJudge | OutcomeJudge:
    """A judge that needs no demonstrations: a model behind an endpoint, or one that a run fitted.

    Raises:
        UserError: if it is neither.
    """
    if config.judge.startswith("openai:"):
        return EndpointOutcomeJudge(endpoint_of(config.judge, "judge"), pictures=config.web.screenshots)
    if not (Path(config.judge) / "judge.json").exists():
        raise UserError(f"--judge {config.judge}: give openai:MODEL@URL, or a fitted judge (runs/NAME/made/judge).")
    return OutcomeJudge(OutcomeModel.load(Path(config.judge)))


async def judge_of(config: Config, run: Run, demonstrations: Sequence[Trace]) -> Judge:
    """The judge that rewards: fitted on the demonstrations alone, or a model behind an endpoint."""
    if config.judge != "local":
        return given_judge(config)
    fitting = replace(config.judge_fit, seed=config.seed)

    def fitted() -> OutcomeModel:
        model, report = fit_judge(demonstrations, fitting)
        run.log(
            phase="judge",
            iteration=0,
            threshold=report.threshold,
            precision=report.precision,
            recall=report.recall,
            episodes=report.demonstrations,
        )
        return model

    made_of = {key: run.config[key] for key in ("seed", "web", "demonstrations", "judge_fit")}
    model = await asyncio.to_thread(run.once, "judge", made_of, fitted, JudgeFormat())
    return OutcomeJudge(model)
