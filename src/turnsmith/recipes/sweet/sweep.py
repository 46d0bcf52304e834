"""The data sweep: a whole run for each number of training tasks, and one table."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from turnsmith.recipes.sweet.config import Config
from turnsmith.runs.config import to_json
from turnsmith.runs.progress import console
from turnsmith.runs.run import Run, read_json


def sweep(config: Config, once: Callable[[Config], Path]) -> Path:
    """Run each size under `NAME-tasks-SIZE` (those that are done are not run again) and put their levels together.

    Args:
        config: with `sweep`.
        once: runs one configuration.

    Returns:
        The folder of the table: `runs/NAME`.
    """
    with Run(Path("runs") / config.name, to_json("sweet", config)) as run:
        run.report(status="running", recipe="sweet", config=run.config)
        levels: dict[int, dict[str, float]] = {}
        for size in config.sweep:
            name = f"{config.name}-tasks-{size}"
            once(replace(config, name=name, tasks=size, sweep=()))
            rewards = read_json(Path("runs") / name / "report.json")["rewards"]
            levels[size] = {arm: sum(of.values()) / max(1, len(of)) for arm, of in rewards.items()}
            run.log(phase="sweep", tasks=size, **levels[size])
        table = Table(title="success by tasks", title_justify="left", box=SIMPLE_HEAD)
        for heading in ("arm", *map(str, levels)):
            table.add_column(heading, justify="left" if heading == "arm" else "right")
        for arm in config.arms:
            table.add_row(arm.value, *(f"{100 * of[arm.value]:.1f} %" for of in levels.values()))
        console.print(table)
        run.report(status="done", levels=levels)
    return run.folder
