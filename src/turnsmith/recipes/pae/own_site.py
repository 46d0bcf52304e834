"""PAE on a site of yours: `turnsmith run pae --site URL --policy … --judge … --proposer …` (docs/own_site.md).

    propose tasks, show them                       (a dry run stops here)
    for i in 1..K:  the policy tries N of them; the judge rewards; a policy of a folder learns from the successes

There is no oracle: success is what the judge says. Pages and tokens are counted as they are spent. All is kept in the
run, so it goes on after a kill, and neither proposals nor episodes are paid for twice.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.table import Table

from turnsmith.agents.base import Policy
from turnsmith.agents.hf_policy import HFPolicy
from turnsmith.agents.load import load_policy
from turnsmith.agents.lora import add_adapter
from turnsmith.agents.openai_policy import OpenAIPolicy
from turnsmith.engine.openai_client import endpoint_of
from turnsmith.engine.sampling import Sampling, turn_seed
from turnsmith.envs.browser import BrowserEnvironment, ObservationConfig
from turnsmith.envs.browser.guarded import GuardedWeb, log_in
from turnsmith.envs.browser.host import storage_state
from turnsmith.envs.browser.redacted import Redacted
from turnsmith.errors import UserError
from turnsmith.evaluate.stats import wilson
from turnsmith.judges.base import Judge
from turnsmith.learn.checkpoint import TrainingState
from turnsmith.learn.fit import make_optimizer
from turnsmith.learn.transforms.rename import renamer_of
from turnsmith.recipes.pae.buffer import not_longer
from turnsmith.recipes.pae.config import Config
from turnsmith.recipes.pae.parts import TaskFormat, given_judge
from turnsmith.recipes.shared import web
from turnsmith.rollout.collect import Episode, Limits
from turnsmith.rollout.stored import collect_into
from turnsmith.runs.config import to_json
from turnsmith.runs.progress import console, progress_bar
from turnsmith.runs.run import Run, find_run
from turnsmith.tasks.files import save_tasks
from turnsmith.tasks.propose import Explorer, GrammarProposer, accept
from turnsmith.tasks.propose.endpoint import EndpointProposer, Site
from turnsmith.tasks.propose.explorer import exploration_task
from turnsmith.trace.store import Store
from turnsmith.trace.types import Outcome, Task, Trace
from turnsmith.view.report import write_report

USER, PASSWORD = "TURNSMITH_LOGIN_USER", "TURNSMITH_LOGIN_PASSWORD"


def main(config: Config) -> Path:
    """Propose, act, judge, learn; or go on with a run that was stopped.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: if something that the user can mend is missing or wrong.
    """
    parts = urlsplit(config.own.site)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"--site {config.own.site}: not an http or https address.")
    if not config.own.acts and not config.own.dry_run:
        raise UserError("--site needs --policy FOLDER or --policy openai:MODEL@URL (or --dry-run to see tasks only).")
    if config.judge == "local" and not config.own.dry_run:
        raise UserError(
            "--site needs a judge: --judge openai:MODEL@URL, or the folder of one that a run fitted "
            "(runs/NAME/made/judge). What succeeds on your site is not known otherwise."
        )
    if config.name == type(config).preset(config.preset_name).name:
        config = replace(config, name=f"pae-{parts.hostname}")
    if config.own.reset and config.web.sessions != 1:
        config = replace(config, web=replace(config.web, sessions=1))  # a reset would disturb other episodes
    with Run(Path("runs") / config.name, to_json("pae", config)) as run:
        asyncio.run(_main(config, run))
        page = write_report(run.folder, traces=10)
    console.print(f"report: {page}")
    return page


async def _main(config: Config, run: Run) -> None:
    run.report(status="running", recipe="pae", config=run.config)
    judge = None if config.own.dry_run else given_judge(config)  # what is missing is said before anything is spent
    state, words = await _login(config)
    again = partial(_log_in, config) if config.own.login and not config.own.storage_state else None
    host = GuardedWeb(allow_writes=config.own.allow_writes, reset=config.own.reset, state=state, login=again)
    seen = ObservationConfig(screenshot="marked" if config.web.screenshots else None)
    cost = Cost()
    async with Redacted(BrowserEnvironment(host, config.web.sessions, seen), words) as pages:
        tasks = await _proposed(config, run, pages, cost)
        _show_tasks(tasks, run)
        if judge is None:
            run.report(status="done", summary=[], cost=cost.told())
            return
        policy = _policy(config)
        cost.clients = {
            name: client
            for name, one in (("policy", policy), ("judge", judge))
            if (client := getattr(one, "client", 0))
        }
        try:
            await _learn(config, run, pages, policy, judge, tasks, cost)
        finally:
            for chosen in (policy, judge):
                if isinstance(chosen, OpenAIPolicy) or hasattr(chosen, "client"):
                    await chosen.close()  # type: ignore[attr-defined]


@dataclass
class Cost:
    """What a run has spent: pages that were looked at, and tokens by who read or wrote them."""

    pages: int = 0
    local: int = 0
    """Tokens of a local policy, prompts included."""
    proposer: int = 0
    clients: Mapping[str, Any] | None = None
    """Clients of endpoints, by what they are for; each counts its own tokens."""

    def count(self, trace: Trace) -> None:
        """Add an episode's pages, and its tokens where the policy is local."""
        self.pages += len(trace.turns) + 1
        if not (self.clients or {}).get("policy"):
            self.local += sum(len(turn.action.prompt_ids) + len(turn.action.token_ids) for turn in trace.turns)

    def told(self) -> dict[str, int]:
        """All counts by name."""
        spent = {name: int(client.tokens) for name, client in (self.clients or {}).items()}
        return {"pages": self.pages, "proposer_tokens": self.proposer, "policy_tokens": self.local} | {
            f"{name}_tokens": tokens for name, tokens in spent.items()
        }

    def __str__(self) -> str:
        tokens = sum(value for name, value in self.told().items() if name != "pages")
        return f"{self.pages} pages, {tokens} tokens"


async def _login(config: Config) -> tuple[Mapping[str, Any] | None, list[str]]:
    """The stored login, if any, and the words that nothing may show."""
    own = config.own
    words = [os.environ[name] for name in (USER, PASSWORD) if os.environ.get(name)]
    if own.storage_state:
        return storage_state(Task("--storage-state", "", "browser", {"storage_state": own.storage_state})), words
    if not own.login:
        return None, words
    if len(words) < 2:
        raise UserError(f"--login needs the environment variables {USER} and {PASSWORD}.")
    return await _log_in(config), words


async def _log_in(config: Config) -> Mapping[str, Any]:
    """Fill the login form in with what the environment variables hold."""
    return await log_in(config.own.login, os.environ[USER], os.environ[PASSWORD], config.own.allow)


def _params(config: Config) -> dict[str, Any]:
    return {"start_url": config.own.site, **({"allow": list(config.own.allow)} if config.own.allow else {})}


async def _proposed(config: Config, run: Run, pages: Redacted, cost: Cost) -> list[Task]:
    """The tasks, proposed once and kept."""
    own, name = config.own, urlsplit(config.own.site).hostname or "site"
    context = "demonstrations" if own.browsing else "name"
    browsing = _browsing(own.browsing) if own.browsing else []
    inputs = {"own": run.config["own"], "proposer": config.proposer, "seed": config.seed}
    if config.proposer == "local":
        if not browsing:
            browsing = await _look_around(config, run, pages, name, cost)
        sites = [replace(trace, task=replace(trace.task, params=_params(config))) for trace in browsing]
        proposer = GrammarProposer(
            context, casual=config.proposals.casual, habit=config.proposals.habit, seed=config.seed
        )
        written = proposer.propose(sites, 2 * own.tasks)
    else:
        model = EndpointProposer(endpoint_of(config.proposer, "proposer"), seed=config.seed)
        if kept := run.folder / "made" / "proposals" / "tasks.jsonl":
            written = (
                [] if kept.exists() else await model.propose(Site(name, _params(config), own.site), own.tasks, browsing)
            )
        cost.proposer += model.client.tokens
        await model.close()
    accepted = accept(written, avoid=[], prefix=f"{name}-{context}", limit=own.tasks)
    tasks = run.once("proposals", inputs, lambda: list(accepted.tasks), TaskFormat())
    if not tasks:
        raise UserError(
            f"nothing was proposed for {own.site}. Give a model as --proposer openai:MODEL@URL, let the local one see "
            "more (--explore, --proposals.steps), or record how you use the site: turnsmith record --site URL."
        )
    run.log(phase="proposals", iteration=0, proposed=len(tasks), **accepted.kinds)
    return tasks


def _browsing(name: str) -> list[Trace]:
    """The demonstrations of a run, with their pictures."""
    with Store(find_run(name)) as store:
        found = [store.with_images(trace) for trace in store.traces() if trace.outcome is not Outcome.INFRA_ERROR]
    if not found:
        raise UserError(f"--browsing {name}: there are no traces in this run. turnsmith record --site URL makes some.")
    return found


async def _look_around(config: Config, run: Run, pages: Redacted, name: str, cost: Cost) -> list[Trace]:
    """The explorer's episodes."""
    tasks = [exploration_task(name, _params(config), number) for number in range(config.own.explore)]
    episodes = [Episode(task.id, task, turn_seed(config.seed, number), "explore") for number, task in enumerate(tasks)]
    with progress_bar(f"looking around {name}", len(episodes)) as advance:

        def on_trace(trace: Trace) -> None:
            cost.count(trace)
            advance(note=str(cost))

        limits = Limits(horizon=config.proposals.steps)
        traces = await collect_into(
            run.store, pages, Explorer(), episodes, limits, workers=config.web.sessions, on_trace=on_trace
        )
    lost = [trace for trace in traces if trace.outcome is Outcome.INFRA_ERROR]
    if len(lost) == len(traces):
        raise UserError(f"{config.own.site}: could not be opened ({lost[0].info.get('infra_detail', 'no reason')}).")
    return traces


def _show_tasks(tasks: Sequence[Task], run: Run) -> None:
    """The proposed tasks as a table and as a file."""
    table = Table(title=f"{len(tasks)} proposed tasks", title_justify="left", pad_edge=False, show_header=False)
    for task in tasks[:20]:
        table.add_row(task.id.rpartition("-")[2], str(task.provenance.get("kind", "")), task.instruction)
    console.print(table)
    path = save_tasks(tasks, run.folder / "tasks.jsonl")
    console.print(f"{'and more; ' if len(tasks) > 20 else ''}all in {path}")


def _policy(config: Config) -> Policy:
    """Who acts, sampling at the settings' temperature."""
    settings = config.policy
    sampling = Sampling(temperature=settings.temperature, max_new_tokens=settings.max_new_tokens)
    if config.own.acts.startswith("openai:"):
        sampling = replace(sampling, max_new_tokens=max(512, settings.max_new_tokens))
        return load_policy(config.own.acts, sampling=sampling)
    policy = load_policy(web.model_folder(config.own.acts), sampling=sampling, device=settings.device, version="step-0")
    if isinstance(policy, HFPolicy) and policy.rendering != "compact" and settings.lora.rank:
        adapter = settings.lora
        policy.model = add_adapter(policy.model, adapter.rank, adapter.alpha, adapter.dropout, config.seed)  # type: ignore
    return policy


async def _learn(
    config: Config, run: Run, pages: Redacted, policy: Policy, judge: Judge, tasks: Sequence[Task], cost: Cost
) -> None:
    """K iterations of acting, judging and learning; a served model only acts, once through the tasks."""
    rows: list[dict[str, Any]] = []
    if not isinstance(policy, HFPolicy):
        rows.append(await _act(config, run, pages, policy, judge, tasks, 1, cost))
        console.print("a model behind an endpoint does not learn here: its episodes and verdicts are in the run.")
    else:
        optimizer = make_optimizer(policy.model, config.update)
        state = TrainingState(policy.model, policy.processor or policy.tokenizer, optimizer)
        renamer = renamer_of(policy) if config.rename else None
        for iteration in run.iterations("policy", config.iterations, state):
            policy.version = f"step-{iteration - 1}"
            await _act(config, run, pages, policy, judge, tasks, iteration, cost)
            won = not_longer(web.all_time_successes(run, iteration, judge.name), config.shortest)
            traces = web.with_images(run, policy, web.draw(won, config.keep, f"{config.seed}/{iteration}"))
            optim = replace(config.update, seed=config.seed + iteration)
            what = f"iteration {iteration}: learning"
            loss = await asyncio.to_thread(web.learn, what, policy, traces, optim, optimizer, renamer)
            if loss is None:
                console.print(f"iteration {iteration}: no success to learn from")
            else:
                run.log(phase="update", iteration=iteration, loss=loss, trajectories=len(traces))
        rows = [_row(run, judge, iteration) for iteration in range(1, config.iterations + 1)]
    run.report(status="done", summary=rows, judge=judge.name, cost=cost.told())
    for row in rows:
        console.print(f"{row['name']}: {100 * row['value']:.0f} % by the judge {judge.name}")
    console.print(f"spent: {cost}; {', '.join(f'{name} {value}' for name, value in cost.told().items())}")


async def _act(
    config: Config,
    run: Run,
    pages: Redacted,
    policy: Policy,
    judge: Judge,
    tasks: Sequence[Task],
    iteration: int,
    cost: Cost,
) -> dict[str, Any]:
    """One iteration's episodes on the next N tasks, judged."""
    count = config.rollouts if isinstance(policy, HFPolicy) else len(tasks)
    first, seed = (iteration - 1) * count, turn_seed(config.seed + 1000, iteration)
    episodes = [
        Episode(f"train-{iteration:03d}-{number:05d}", tasks[(first + number) % len(tasks)], turn_seed(seed, number),
                "train", iteration)
        for number in range(count)
    ]  # fmt: skip
    won = 0
    with progress_bar(f"iteration {iteration}: acting", len(episodes)) as advance:

        def on_trace(trace: Trace) -> None:
            nonlocal won
            cost.count(trace)
            won += (trace.reward(judge.name) or 0) > 0.5
            advance(int(trace.outcome is not Outcome.INFRA_ERROR), note=f"{won} judged right; {cost}")

        await collect_into(
            run.store,
            pages,
            policy,
            episodes,
            Limits(horizon=config.web.horizon),
            workers=config.web.sessions,
            judge=judge,
            on_trace=on_trace,
        )
    row = _row(run, judge, iteration)
    run.log(phase="train", iteration=iteration, success=row["value"], **cost.told())
    return row


def _row(run: Run, judge: Judge, iteration: int) -> dict[str, Any]:
    """Success of one iteration by the judge, as a row of the report."""
    rewards = [
        summary.reward or 0.0
        for summary in run.store.summaries(phase="train", judge=judge.name, iteration=iteration)
        if summary.outcome is not Outcome.INFRA_ERROR
    ]
    won = sum(reward > 0.5 for reward in rewards)
    low, high = wilson(won, len(rewards))
    value = won / max(1, len(rewards))
    return {"name": f"iteration {iteration}", "value": value, "low": low, "high": high, "unit": "judged success"}
