"""report.html: one file, offline, with what its reader wants to see. And that the built front end is in date."""

import hashlib
import re
from pathlib import Path

import pytest
from view_site import until

from turnsmith.errors import UserError
from turnsmith.view.pick import pick_traces
from turnsmith.view.queries import Row
from turnsmith.view.report import write_report
from turnsmith.view.sample import write_sample_run

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_report(write_sample_run(tmp_path_factory.mktemp("report") / "demo", traces=60, turns=5, distinct=12))


def test_the_file_refers_to_nothing_outside_itself(report):
    text = report.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert not re.findall(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=", text)
    assert "url(" not in text.split("</style>")[0]
    assert report.stat().st_size < 20e6


def test_it_opens_offline_and_its_traces_can_be_browsed_by_keyboard(page, report):
    page.context.set_offline(True)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if not request.url.startswith("data:") else None)
    page.goto(report.as_uri())
    page.get_by_role("rowheader", name="Success after").wait_for()
    page.get_by_role("img", name=re.compile("Success: eval from .* to ")).wait_for()
    rows = page.locator("table.traces tbody tr")
    assert rows.count() == 10
    groups = [rows.nth(index).locator("td").first.inner_text() for index in range(10)]
    assert groups == ["before"] * 5 + ["after"] * 5
    rows.first.get_by_role("link").click()
    until(page, "document.querySelector('.screen img')?.naturalWidth > 0")
    page.keyboard.press("ArrowRight")
    page.get_by_role("heading", name="Turn 2").wait_for()
    page.locator(".credit-bar.credit-plus, .credit-bar.credit-minus").first.wait_for()
    page.locator("a.brand").click()
    page.get_by_role("heading", name="10 traces to look at").wait_for()
    assert asked == [report.as_uri()]


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no run here"):
        write_report(tmp_path)


def test_images_are_compressed_again_only_where_a_report_would_become_too_large_to_mail(tmp_path, monkeypatch):
    folder = write_sample_run(tmp_path / "run", traces=12, turns=4, distinct=12)
    before = write_report(folder).stat().st_size
    monkeypatch.setattr("turnsmith.view.report._IMAGE_BUDGET", 200_000)
    assert write_report(folder).stat().st_size < 0.6 * before


def row(seq: int, task: str, solved: bool, iteration: int | None, site: str = "a", phase: str = "eval") -> Row:
    outcome = "success" if solved else "failure"
    return Row(seq, f"t{seq}", task, "", "browser", site, "test", phase, outcome, "p", iteration, 0, 0.0, 3)


def test_picked_traces_are_half_before_half_after_and_pairs_of_tasks_that_were_learned_come_first():
    rows = [row(i, f"task-{i}", i % 4 == 0, 0, site=f"site-{i % 3}") for i in range(40)]
    rows += [row(100 + i, f"task-{i}", i % 4 != 3, 5, site=f"site-{i % 3}") for i in range(40)]
    picked = pick_traces(rows, 10)
    before, after = ([one for one, group in picked if group == name] for name in ("before", "after"))
    assert [len(before), len(after)] == [5, 5]
    for group in (before, after):
        assert 2 <= sum(one.solved for one in group) <= 3
        assert len({one.site for one in group}) == 3
    learned = {one.task_id for one in before if not one.solved} & {one.task_id for one in after if one.solved}
    assert len(learned) >= 2


def test_traces_with_screenshots_are_picked_before_all_others():
    rows = [row(i, f"task-{i}", i % 2 == 0, 0) for i in range(20)]
    rows += [row(100 + i, f"task-{i}", i % 3 > 0, 4) for i in range(20)]
    picked = {one.seq for one, _ in pick_traces(rows, 10, {2, 3, 102, 103, 104, 105, 106, 107, 108})}
    assert {2, 3} < picked
    assert len(picked & {102, 103, 104, 105, 106, 107, 108}) == 5
    assert len(picked) == 10


def test_a_run_with_few_traces_gives_all_of_them_and_prefers_evaluations():
    rows = [row(1, "a", False, 0, phase="train"), row(2, "b", False, 0), row(3, "c", False, 0)]
    assert [(one.seq, group) for one, group in pick_traces(rows, 10)] == [(2, "after"), (3, "after")]
    assert pick_traces([], 10) == []


def test_the_committed_front_end_is_built_from_these_sources():
    """The digest that viewer/build.mjs writes into what it builds, computed again."""
    folder = CHECKOUT / "viewer"
    if not folder.is_dir():
        pytest.skip("an installed package has no front-end sources")
    files = [path for path in (folder / "src").rglob("*") if path.is_file()]
    named = {
        path.relative_to(folder).as_posix(): path
        for path in [*files, folder / "build.mjs", folder / "package-lock.json"]
    }
    digest = hashlib.sha256()
    for name in sorted(named):
        digest.update(name.encode() + b"\0" + named[name].read_bytes() + b"\0")
    for built in ("viewer.js", "viewer.css"):
        text = (CHECKOUT / "src/turnsmith/view/static" / built).read_text(encoding="utf-8")
        assert f"sources {digest.hexdigest()} " in text, f"{built} is out of date: cd viewer && npm ci && npm run build"
