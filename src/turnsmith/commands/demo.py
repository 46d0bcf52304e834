"""`turnsmith demo`: train a small web agent in real Chromium and show that it got better, in a few minutes on a laptop.

It collects noisy scripted demonstrations, learns from them, then improves by filtered behaviour cloning on its own
episodes, and is evaluated before and after on entities that it has never seen. `runs/demo/report.html` has the learning
curve and ten episodes with screenshots.
"""

import shutil
import sys


def main(argv: list[str]) -> int:
    """Run the demo preset of `filtered_bc`; a demo that was stopped goes on, a finished one is made anew."""
    from turnsmith.commands.doctor import checks
    from turnsmith.errors import UserError
    from turnsmith.options import parse_options

    config_options = [argument for argument in argv if argument not in ("-h", "--help")]
    if len(config_options) != len(argv):
        print(f"usage: turnsmith demo [options]\n\n{__doc__}")
        return 0
    missing = [check for check in checks() if check.state == "needed"]
    if missing:
        raise UserError("; ".join(f"{check.what}: {check.found}. {check.mend}" for check in missing))

    from turnsmith.recipes.filtered_bc import recipe as filtered_bc
    from turnsmith.runs.progress import console
    from turnsmith.runs.run import read_json, run_folder

    config = parse_options(
        filtered_bc.Config, argv, prog="turnsmith demo", default=filtered_bc.Config.preset("demo"), description=__doc__
    )
    folder = run_folder(config.name)
    report = folder / "report.json"
    if report.exists() and read_json(report).get("status") == "done":
        shutil.rmtree(folder)
    path = filtered_bc.main(config)
    console.print(f"Open [bold]{path}[/bold] in a browser: the learning curve, and ten episodes with screenshots.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
