"""Small tools that have to be combined: prices, journeys, coded messages, in the style of M3ToolEval (MIT).

Tasks are made from a seed; each has one answer, found by calling several tools and handing their outputs on. Nothing is
written, so a toolbox has no state.
"""

from turnsmith.worlds.m3.tasks import FAMILIES, grade_answer, make_task
from turnsmith.worlds.m3.tools import world

__all__ = ["FAMILIES", "grade_answer", "make_task", "world"]
