"""Make the policy that `turnwise demo` starts from: noisy demonstrations in real Chromium, then supervised training.

Run: .venv/bin/python scripts/make_warm_start.py [--epochs 6]. On two quiet cores it takes about half an hour. A
stopped run goes on collecting where it stopped. The result replaces `src/turnwise/recipes/assets/web_small`.

The demonstrations are on training worlds only; about two thirds of them succeed, and failures are learned like the
rest.
"""

import argparse
import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

from turnwise.agents.load import new_small_policy
from turnwise.agents.render import compact, compact_response
from turnwise.learn.examples import context_at, examples_from_traces
from turnwise.learn.rename import Renamer
from turnwise.learn.sft import OptimConfig, evaluate_loss, make_optimizer, train
from turnwise.recipes import web
from turnwise.recipes.filtered_bc import SHIPPED
from turnwise.recipes.progress import console, progress_bar
from turnwise.recipes.web import WebConfig
from turnwise.trace.run import Run
from turnwise.trace.types import Trace

PORTIONS = ((900, 11), (800, 12))
"""How many demonstrations, and the seed that they are drawn with."""

NOISE, WANDER, HORIZON = 0.25, 0.05, 20
OPTIM = OptimConfig(learning_rate=1.5e-3, batch_size=8, epochs=1, warmup_updates=100, schedule="constant")


def collect(count: int, seed: int) -> list[Trace]:
    """The demonstrations of one portion, from the store as far as they are there."""
    config = WebConfig(horizon=HORIZON)

    async def play(run: Run) -> list[Trace]:
        async with config.environment() as environment:
            return await web.demonstrate(run, environment, config, count, NOISE, WANDER, seed)

    with Run(Path(f"runs/warm_start-{seed}"), {"recipe": "warm_start", "seed": seed}) as run:
        return asyncio.run(play(run))


def main() -> None:
    """Collect, train, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=6)
    epochs = parser.parse_args().epochs
    traces = [trace for portion in PORTIONS for trace in collect(*portion)]
    texts = []
    for trace in traces:
        for index, turn in enumerate(trace.turns):
            texts += [compact(context_at(trace, index)), compact_response(turn.action.text)]
    policy = new_small_policy(texts, layers=2)
    cut = int(0.96 * len(traces))
    examples, held_out = (examples_from_traces(part, policy) for part in (traces[:cut], traces[cut:]))
    optimizer = make_optimizer(policy.model, OPTIM)
    renamer = Renamer(policy.tokenizer)  # new names in every pass: copy them, never remember them
    for epoch in range(epochs):
        share = epoch / epochs
        rate = OPTIM.learning_rate * (1 if share < 0.6 else 0.3 if share < 0.85 else 0.1)
        optim = replace(OPTIM, learning_rate=rate, warmup_updates=100 if epoch == 0 else 1, seed=epoch)
        with progress_bar(f"epoch {epoch + 1} of {epochs}", -(-len(examples) // optim.batch_size)) as advance:
            train(policy.model, examples, optim, optimizer, on_update=lambda _: advance(), transform=renamer)
        console.print(f"held-out loss {evaluate_loss(policy.model, held_out):.3f}")
    shutil.rmtree(SHIPPED, ignore_errors=True)
    policy.model.save_pretrained(SHIPPED)
    policy.tokenizer.save_pretrained(SHIPPED)
    console.print(f"saved {SHIPPED}")


if __name__ == "__main__":
    main()
