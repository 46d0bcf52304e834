"""`turnsmith bench eeg`: what dropping hidden tokens saves in pretraining, and whether the cores are kept busy.

Steps with and without dropping are timed in turns on the same batch, so that a change of the machine's load meets both;
the speed-up is of the median steps. Busy is processor time over wall clock and threads, in the training loop itself.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from turnsmith.eeg.batches import Source, fit_scaler
from turnsmith.eeg.fit import fit_windows, pretraining_loss
from turnsmith.eeg.mae import FixedMae
from turnsmith.eeg.settings import small_fit
from turnsmith.eeg.vit import EEGViT
from turnsmith.errors import UserError
from turnsmith.evaluate.claims import Claim, record

# name -> sizes of EEGViT and of the decoder, and the batch.
# "small" is EEGViT's grid of 8 channels by 126 ms, 128 tokens,
# at a small width; "laptop" is the preset's model, whose 5 tokens leave little to drop; "base" is the paper's encoder.
_SMALL = {"filters": 32, "width": 64, "depth": 4, "heads": 4, "mlp": 128, "head": 64, "place_prior": True}
SIZES = {
    "small": ({**_SMALL, "kernel": 63}, (32, 1, 4), 32),
    "laptop": ({**_SMALL, "filters": 8, "patch_chans": 129, "kernel": 100, "average": 5}, (64, 1, 4), 256),
    "base": ({}, (512, 2, 8), 4),
}


def main(argv: list[str]) -> int:
    """Measure, print a table, record results/bench_eeg.json."""
    parser = argparse.ArgumentParser(prog="turnsmith bench eeg", description=__doc__)
    parser.add_argument("--size", default="small", choices=tuple(SIZES))
    parser.add_argument("--steps", type=int, default=40, help="timed steps of each kind")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-record", action="store_true", help="print only")
    options = parser.parse_args(argv)
    if options.steps < 3:
        raise UserError("--steps must be at least 3.")

    torch.set_num_threads(options.threads)
    ratios, dropped, kept = masking_speedup(options.size, options.steps, options.device)
    busy = busy_share(options.size, options.steps, options.threads, options.device)
    speedup = float(np.median(kept) / np.median(dropped))
    low, high = (float(value) for value in np.quantile(ratios, [0.05, 0.95]))
    print(f"pretraining step, {options.size}, 50 % masked: {1e3 * np.median(dropped):.0f} ms with tokens dropped,")
    print(f"  {1e3 * np.median(kept):.0f} ms without: {speedup:.2f} times faster (pairs {low:.2f} to {high:.2f})")
    print(f"threads busy in the training loop: {100 * busy:.0f} % of {options.threads}")
    if not options.no_record:
        suffix = "" if options.size == "small" else f"_{options.size}"
        note = f"EEGViT {options.size}, {options.threads} threads, {options.steps} steps of each kind in turns."
        claims = [
            Claim(
                f"masking_speedup{suffix}",
                "Pretraining steps at 50 % masking: time without dropping tokens over time with dropping",
                speedup,
                ">= 1.7" if options.size == "small" else "",
                baseline=1.0,
                ci95=(low, high),
                note=f"{note} The interval is 5 to 95 % of pairs.",
            ),
            Claim(
                f"cores_busy{suffix}",
                "Processor time over wall clock and threads in the pretraining loop, input pipeline included",
                busy,
                ">= 0.85" if options.size == "small" else "",
                note=f"{note} Other work on the machine lowers it.",
            ),
        ]
        record("bench_eeg", claims, f"turnsmith bench eeg --size {options.size} --threads {options.threads}")
    return 0


def masking_speedup(size: str, steps: int, device: str) -> tuple[list[float], list[float], list[float]]:
    """Ratio of each pair of steps, and seconds of the steps with and without dropping."""
    arguments, (width, depth, heads), batch = SIZES[size]
    eeg = torch.randn(batch, 129, 500, device=device)

    def step_of(drop: bool) -> Callable[[], float]:
        torch.manual_seed(0)
        mae = FixedMae(EEGViT(**arguments), 0.5, width=width, depth=depth, heads=heads, drop=drop).to(device)
        optimizer = torch.optim.AdamW(mae.parameters(), 1e-4)

        def step() -> float:
            begun = time.perf_counter()
            optimizer.zero_grad()
            mae(eeg).backward()
            optimizer.step()
            if eeg.is_cuda:
                torch.cuda.synchronize()
            return time.perf_counter() - begun

        return step

    with_dropping, without = step_of(True), step_of(False)
    for step in (with_dropping, without):
        step()
    pairs = [(with_dropping(), without()) for _ in range(steps)]
    return [b / a for a, b in pairs], [a for a, _ in pairs], [b for _, b in pairs]


def busy_share(size: str, steps: int, threads: int, device: str) -> float:
    """Processor seconds over wall-clock seconds and threads while pretraining from an array of windows."""
    arguments, (width, depth, heads), batch = SIZES[size]
    rows = np.arange(8 * batch)
    eeg = np.random.default_rng(0).normal(0, 10, (len(rows), 500, 129)).astype(np.float32)
    torch.manual_seed(0)
    mae = FixedMae(EEGViT(**arguments), 0.5, width=width, depth=depth, heads=heads).to(device)
    settings = small_fit(steps, batch, evaluate_every=steps)
    source = Source(eeg, fit_scaler(eeg, rows), device=device)
    if arguments.get("average", 1) > 1:
        source = source.keep(arguments["average"])  # as the recipe does
    fitted = fit_windows(mae, pretraining_loss, source, rows, settings, 0)
    return fitted.curve[-1].cpu_seconds / fitted.seconds / threads
