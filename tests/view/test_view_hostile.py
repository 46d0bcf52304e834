"""Scripts stored in every field of a run never run, and their text is shown as text."""

import dataclasses
import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from view_site import serving, until

from turnsmith.trace.store import Store
from turnsmith.trace.types import ImageRef, Label, Outcome, StopReason, Trace
from turnsmith.view.report import write_report
from turnsmith.view.sample import long_trace

ATTACK = (
    "\"'><img src=x onerror=\"window.ran='img'\"><script>window.ran='script'</script></script>"
    "<svg onload=window.ran='svg'><!--{{7*7}}${window.ran='template'}javascript:window.ran='url'//\u2028]]>"
)
KEEP = {"environment", "thread", "media_type", "digest"}


def poison(value: Any) -> Any:
    """The same value with the attack in every text and key of it."""
    if isinstance(value, ImageRef):
        return ImageRef.of(
            b"<svg xmlns='http://www.w3.org/2000/svg' onload='window.ran=1'/>" + value.digest.encode(), "image/svg+xml"
        )
    if isinstance(value, Outcome | StopReason | bool | int | float) or value is None:
        return value
    if isinstance(value, str):
        return ATTACK
    if isinstance(value, dict):
        known = {
            "elements",
            "box",
            "viewport",
            "url",
            "title",
            "mark",
            "tag",
            "text",
            "aria",
            "point",
            "stage",
            "rejected",
        }
        return {key if key in known else ATTACK + key: poison(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(poison(inner) for inner in value)
    assert dataclasses.is_dataclass(value)
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return type(value)(**{name: inner if name in KEEP else poison(inner) for name, inner in fields.items()})


@pytest.fixture
def root(tmp_path):
    """A run whose every text is an attack, its name included."""
    name = ATTACK.replace("/", "∕")[:200]
    folder = tmp_path / "runs" / name
    folder.mkdir(parents=True)
    bad: Trace = poison(long_trace(3))
    with Store(folder / "run.db") as store:
        store.append(bad)
        store.append(dataclasses.replace(bad, id="second" + ATTACK))
        store.add_label(Label(bad.id, True, note=ATTACK))
        store.add_label(Label(bad.id, False, turn=0, note=ATTACK))
        store.add_verdicts(
            bad.id,
            [
                dataclasses.replace(bad.verdicts[0], turn=0),
                dataclasses.replace(bad.verdicts[0], judge="oracle", reward=0.0),
            ],
        )
    (folder / "config.json").write_text(json.dumps({"recipe": ATTACK, "preset": ATTACK, ATTACK: [ATTACK]}))
    summary = [{"name": ATTACK, "value": 1, "low": 0, "high": 2, "unit": ATTACK}]
    (folder / "report.json").write_text(json.dumps({"status": ATTACK, "summary": summary}))
    metrics = [{"iteration": i, "phase": ATTACK, ATTACK: 0.5, "success": 0.5} for i in range(3)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics) + ATTACK + "\n")
    task = {
        "id": ATTACK + "2",
        "instruction": ATTACK,
        "provenance": {"stage": ATTACK, "rejected": ATTACK, ATTACK: ATTACK},
    }
    (folder / "tasks.jsonl").write_text(json.dumps(task) + "\n")
    results = tmp_path / "results"
    results.mkdir()
    claim = {"id": ATTACK, "claim": ATTACK, "value": 1, "paper": ATTACK, "goal": ATTACK, "holds": True, "note": ATTACK,
             "command": ATTACK, "machine": ATTACK, "commit": ATTACK, "date": ATTACK}  # fmt: skip
    (results / "x.json").write_text(json.dumps([claim]))
    return tmp_path


def check(page, scripts: int) -> None:
    """Nothing ran, nothing of the attack became an element, and it is there as text."""
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("window.ran") is None
    found = page.evaluate(
        """() => ({
          scripts: document.scripts.length,
          handlers: [...document.querySelectorAll('*')]
            .filter((node) => [...node.attributes].some((attribute) => /^on/i.test(attribute.name))).length,
          links: [...document.querySelectorAll('a')].filter((link) => link.protocol === 'javascript:').length,
          images: [...document.images].filter((image) => !/^(blob:|data:image.(png|jpeg|webp))/.test(image.src)).length,
          frames: document.querySelectorAll('iframe, object, embed, form[action]').length,
        })"""
    )
    assert found == {"scripts": scripts, "handlers": 0, "links": 0, "images": 0, "frames": 0}


def test_nothing_stored_runs_on_any_page_of_the_viewer(chromium, root):
    name = next((root / "runs").iterdir()).name
    with serving(root / "runs", root / "results") as site, chromium.new_context() as context:
        page = context.new_page()
        page.on("dialog", lambda dialog: pytest.fail(f"a dialog: {dialog.message}"))
        page.goto(site.link)
        page.get_by_role("link", name="Runs").wait_for()
        run, trace = quote(name, safe=""), quote(ATTACK, safe="")
        side = urlencode({"run": name, "a": ATTACK, "b": "second" + ATTACK})
        odd = urlencode({"site": ATTACK, "sort": ATTACK, "disagree": "any"})
        routes = ["", f"run/{run}", f"run/{run}/traces", f"run/{run}/tasks", f"run/{run}/labels", "results"]
        routes += [f"run/{run}/trace/{trace}?turn={turn}" for turn in (1, 2, 4)]
        routes += [f"side?{side}", f"compare?{urlencode({'runs': json.dumps([name, ATTACK])})}", f"run/{trace}", trace]
        routes += [f"run/{run}/traces?{odd}"]
        for route in routes:
            page.goto(f"{site.origin}/#/{route}")
            page.locator("main > *").first.wait_for()
            until(page, "!document.querySelector('main [aria-busy]')")
            check(page, scripts=1)
            if route.startswith("run/"):
                page.get_by_text("window.ran='script'").first.wait_for(state="attached")
        page.goto(f"{site.origin}/#{ATTACK}")
        check(page, scripts=1)


def test_nothing_stored_runs_in_a_report(chromium, root):
    path = write_report(next((root / "runs").iterdir()))
    assert path.read_text().count("</script>") == 2
    with chromium.new_context(offline=True) as context:
        page = context.new_page()
        page.on("dialog", lambda dialog: pytest.fail(f"a dialog: {dialog.message}"))
        page.goto(path.as_uri())
        page.get_by_role("link", name="window.ran='script'").nth(1).wait_for()
        check(page, scripts=2)
        page.locator("table.traces a").first.click()
        page.get_by_role("heading", name="Turn 1").wait_for()
        check(page, scripts=2)
        page.get_by_text("window.ran='script'").first.wait_for(state="attached")
