"""Make a shipped policy: noisy demonstrations in real Chromium, then supervised training.

.venv/bin/python scripts/make_warm_start.py                              the one of `turnsmith demo`: all five sites
.venv/bin/python scripts/make_warm_start.py --sites shop forum docs --portions 4 --epochs 4 --out web_three_sites
                                                                         one that has not seen the other two sites

On two quiet cores the first takes three quarters of an hour. A stopped run goes on collecting where it stopped. The
result replaces the folder of that name in `src/turnsmith/recipes/shared/assets`.

The demonstrations are on training worlds only; six in ten succeed, and failures are learned like the rest. Stray clicks
are left out of what is imitated, but stay in the histories: so the policy sees pages that it did not mean to open.
"""

import argparse
import asyncio
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from turnsmith.agents.load import new_small_policy
from turnsmith.learn.examples import Example, examples_from_traces
from turnsmith.learn.fit import make_optimizer
from turnsmith.learn.optim import OptimConfig
from turnsmith.learn.sft import evaluate_loss, train
from turnsmith.learn.transforms.rename import entity_words, keep_words, kept_words, renamer_of
from turnsmith.recipes.shared.web import SHIPPED_FOLDER, WebEpisodes, texts_of
from turnsmith.recipes.shared.web_config import Demonstrations, WebConfig
from turnsmith.runs.progress import console, progress_bar
from turnsmith.runs.run import Run
from turnsmith.trace.types import Trace
from turnsmith.worlds.sites.demonstrator import STRAY

HORIZON = 20


@dataclass(frozen=True, slots=True)
class Portion:
    """Demonstrations drawn with one seed."""

    seed: int
    demonstrations: Demonstrations


PORTIONS = (
    Portion(11, Demonstrations(count=900, noise=0.25, wander=0.05)),
    Portion(12, Demonstrations(count=800, noise=0.25, wander=0.05)),
    *[Portion(seed, Demonstrations(count=450, noise=0.5, wander=0.02)) for seed in (21, 22, 23, 24)],
)
OPTIM = OptimConfig(learning_rate=1.5e-3, batch_size=8, epochs=1, warmup_updates=100, schedule="constant")


def collect(portion: Portion, sites: tuple[str, ...]) -> list[Trace]:
    """The demonstrations of one portion, from the store as far as they are there."""
    config = WebConfig(sites=sites, horizon=HORIZON, sessions=8, screenshots=False)

    async def play(run: Run) -> list[Trace]:
        async with WebEpisodes(run, config) as episodes:
            return await episodes.demonstrate(portion.demonstrations, portion.seed)

    settings = {"recipe": "warm_start", "seed": portion.seed, "sites": list(sites)}
    with Run(Path("runs") / f"warm_start-{len(sites)}-sites-{portion.seed}", settings) as run:
        return asyncio.run(play(run))


def meant(traces: Sequence[Trace], policy: Any) -> list[Example]:
    """All turns as examples but the stray clicks."""
    examples = examples_from_traces(traces, policy)
    turns = [turn for trace in traces for turn in trace.turns]
    return [
        example
        for example, turn in zip(examples, turns, strict=True)
        if not turn.action.text.startswith(f"Thought: {STRAY}")
    ]


def main() -> None:
    """Collect, train, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sites", nargs="+", default=list(WebConfig().sites))
    parser.add_argument("--portions", type=int, default=len(PORTIONS), help="only the first so many")
    parser.add_argument("--out", default=SHIPPED_FOLDER.name)
    options = parser.parse_args()
    epochs, folder = options.epochs, SHIPPED_FOLDER.parent / options.out
    traces = [trace for portion in PORTIONS[: options.portions] for trace in collect(portion, tuple(options.sites))]
    policy = new_small_policy(texts_of(traces), layers=2)
    policy.model.to(options.device)
    random.Random(0).shuffle(traces)
    cut = int(0.96 * len(traces))
    examples, held_out = meant(traces[:cut], policy), meant(traces[cut:], policy)
    optimizer = make_optimizer(policy.model, OPTIM)
    keep_words(policy.model, kept_words(examples, policy.tokenizer, entity_words(traces)))
    renamer = renamer_of(policy)  # new names in every pass: copy them, never remember them
    for epoch in range(epochs):
        share = epoch / epochs
        rate = OPTIM.learning_rate * (1 if share < 0.6 else 0.3 if share < 0.85 else 0.1)
        optim = replace(OPTIM, learning_rate=rate, warmup_updates=100 if epoch == 0 else 1, seed=epoch)
        with progress_bar(f"epoch {epoch + 1} of {epochs}", -(-len(examples) // optim.batch_size)) as advance:
            train(policy.model, examples, optim, optimizer, on_update=lambda _: advance(), transform=renamer)
        console.print(f"held-out loss {evaluate_loss(policy.model, held_out):.3f}")
    shutil.rmtree(folder, ignore_errors=True)
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    console.print(f"saved {folder}")


if __name__ == "__main__":
    main()
