"""MiniWoB++: some 130 small pages with a task each (arXiv 1802.08802), driven like any other site.

The pages are those of the PyPI wheel `miniwob` (the extra "browser" brings it). `pages` finds and serves them, `host`
plays an episode on one, `tasks` makes tasks of them, and `scripted` is a policy that solves more than fifty.
"""

from turnsmith.worlds.miniwob.host import MiniWob
from turnsmith.worlds.miniwob.pages import list_pages
from turnsmith.worlds.miniwob.tasks import miniwob_instructions, miniwob_tasks

__all__ = ["MiniWob", "list_pages", "miniwob_instructions", "miniwob_tasks"]
