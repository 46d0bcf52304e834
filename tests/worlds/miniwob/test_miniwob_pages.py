"""The pages of the wheel: found, named, served, and split."""

import importlib.util
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnsmith.errors import UserError
from turnsmith.trace.types import Task
from turnsmith.worlds.miniwob import MiniWob, list_pages
from turnsmith.worlds.miniwob.pages import PageServer, html_folder, page_path
from turnsmith.worlds.miniwob.tasks import page_seeds


@pytest.fixture(scope="module")
def server():
    server = PageServer()
    yield server
    server.close()


def test_every_page_of_the_wheel_is_listed_and_served(server):
    small = list(html_folder().glob("miniwob/*.html"))
    flights = list(html_folder().glob("flight/*/wrapper.html"))
    assert len(list_pages()) == len(set(list_pages())) == len(small) + len(flights) >= 130
    by_path = {page_path(page): page for page in list_pages()}
    for path in small + flights:
        served = f"/{path.relative_to(html_folder()).as_posix()}"
        assert served in by_path
        with urlopen(server.origin + served) as answer:
            assert answer.headers["Content-Type"] == "text/html"
            assert answer.read() == path.read_bytes()


@pytest.mark.parametrize(
    "path", ["/miniwob/no-such-page.html", "/", "/miniwob", "/../__init__.py", "/%2e%2e/__init__.py"]
)
def test_nothing_but_the_files_of_the_folder_is_served(server, path):
    with pytest.raises(HTTPError, match="404"):
        urlopen(server.origin + path)


def test_a_missing_wheel_is_a_line_that_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    html_folder.cache_clear()
    with pytest.raises(UserError, match=r"pip install -e '\.\[browser\]'"):
        html_folder()
    monkeypatch.undo()
    html_folder.cache_clear()


@pytest.mark.parametrize("params", [{}, {"page": "click-tset"}, {"page": "click-test", "mode": "exam"}])
async def test_wrong_params_are_told_with_the_task(params):
    with pytest.raises(UserError, match=r"task t1: .*(click-test|mode)"):
        await MiniWob().visit(Task("t1", "", "browser", params), 0)


@given(st.sampled_from(["click-test", "login-user"]), st.integers(0, 2**31), st.integers(0, 2**31))
def test_no_seed_is_in_two_splits(page, seed, other_seed):
    train, validation = page_seeds(page, "train", 40, seed), page_seeds(page, "validation", 40, other_seed)
    test = page_seeds(page, "test", 40, other_seed)
    assert len({*train, *validation, *test}) == 120
    assert train == page_seeds(page, "train", 40, seed)
    assert train[:10] == page_seeds(page, "train", 10, seed)
