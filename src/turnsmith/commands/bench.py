"""`turnsmith bench NAME`: measure, print a table, and record `results/bench_NAME.json`."""

import importlib

from turnsmith.errors import UserError, require_extras

# name -> module with `main(argv) -> int`
BENCHMARKS: dict[str, str] = {
    "store": "turnsmith.bench.store",
    "browser": "turnsmith.bench.browser",
    "device": "turnsmith.bench.device",
    "view": "turnsmith.bench.view",
    "eeg": "turnsmith.bench.eeg",
    "cim": "turnsmith.bench.cim",
    "engine": "turnsmith.bench.engine",
    "kalie": "turnsmith.bench.kalie",
    "sandbox": "turnsmith.bench.sandbox",
    "credit": "turnsmith.bench.credit",
    "soak": "turnsmith.bench.soak",
}

NEEDS: dict[str, tuple[str, ...]] = {
    "browser": ("browser",),
    "device": ("device", "hf"),
    "view": ("browser",),
    "eeg": ("eeg",),
    "cim": ("cim",),
    "credit": ("hf",),
    "engine": ("hf",),
    "soak": ("browser",),
}
"""The extras without which a benchmark cannot even be imported."""


def main(argv: list[str]) -> int:
    """Run the named benchmark with the remaining arguments."""
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: turnsmith bench NAME [options]\n\nbenchmarks: {', '.join(BENCHMARKS)}")
        return 0
    if argv[0] not in BENCHMARKS:
        raise UserError(f"unknown benchmark {argv[0]!r}. Benchmarks: {', '.join(BENCHMARKS)}.")
    require_extras(*NEEDS.get(argv[0], ()))
    return importlib.import_module(BENCHMARKS[argv[0]]).main(argv[1:])
