"""Phone width, dark mode, accessibility: all pages, in real Chromium."""

from pathlib import Path

import pytest
from view_site import until

AXE = Path(__file__).parent / "vendor" / "axe-4.14.1.min.js"
PAGES = (
    "",
    "run/seed-0",
    "run/seed-0/traces",
    "run/seed-0/trace/trace-00003?turn=2",
    "run/seed-0/tasks",
    "run/seed-0/labels",
    'compare?runs=["seed-0","seed-1"]',
    "results",
    "side?run=seed-0&a=trace-00003&b=trace-00004",
)


@pytest.fixture(scope="module")
def results(sample_root):
    folder = sample_root / "results"
    folder.mkdir(exist_ok=True)
    (folder / "made_up.json").write_text(
        '[{"id": "gain", "claim": "It got better", "value": 31.5, "ci95": [20, 40], "paper": "28.9", "goal": ">= 25",'
        ' "holds": true, "note": "a note", "command": "turnsmith run x", "machine": "2 cores", "commit": "abc"},'
        ' {"id": "speed", "claim": "It is fast", "value": 9, "goal": ">= 15", "holds": false, "note": ""}]'
    )


@pytest.mark.usefixtures("results")
@pytest.mark.parametrize(("width", "colours"), [(1400, "light"), (1400, "dark"), (375, "light")])
def test_every_page_obeys_the_accessibility_rules_and_fits_its_window(chromium, site, width, colours):
    with chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=colours) as context:
        page = context.new_page()
        page.goto(site.link)
        page.evaluate(AXE.read_text())
        for path in PAGES:
            page.goto(f"{site.origin}/#/{path}")
            page.locator("main h1").wait_for()
            if "trace" in path:
                page.locator("main img, main table").first.wait_for()
            # Other colours change nothing but contrast.
            rules = "{runOnly: ['color-contrast']}" if colours == "dark" else "{}"
            violations = page.evaluate(f"axe.run({rules}).then((result) => result.violations)")
            serious = [
                f"{rule['id']}: {rule['nodes'][0]['html'][:200]} {rule['nodes'][0]['failureSummary']}"
                for rule in violations
                if rule["impact"] in ("serious", "critical")
            ]
            assert serious == [], path
            assert page.evaluate("document.scrollingElement.scrollWidth") <= width, path


def test_dark_mode_follows_the_system_and_the_button_overrules_it(chromium, site):
    background = "getComputedStyle(document.body).backgroundColor"
    with chromium.new_context(color_scheme="dark") as context:
        page = context.new_page()
        page.goto(site.link)
        dark = page.evaluate(background)
        button = page.get_by_role("button", name="Colours")
        button.click()  # auto to dark
        assert page.evaluate(background) == dark
        button.click()  # dark to light
        until(page, f"{background} !== '{dark}'")
        light = page.evaluate(background)
        page.reload()
        until(page, f"{background} === '{light}'")
