"""The course catalogue: departments, groups, prerequisites, lecturers, enrolment."""

from turnsmith.worlds.sites.courses.pages import ROUTES
from turnsmith.worlds.sites.courses.tasks import TEMPLATES
from turnsmith.worlds.sites.courses.world import CoursesState, build
from turnsmith.worlds.sites.kit import Site

COURSES = Site("courses", build, CoursesState.arrive, ROUTES, TEMPLATES)
