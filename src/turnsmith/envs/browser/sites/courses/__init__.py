"""The course catalogue: departments, groups, prerequisites, lecturers, enrolment."""

from turnsmith.envs.browser.sites.courses.pages import ROUTES
from turnsmith.envs.browser.sites.courses.tasks import TEMPLATES
from turnsmith.envs.browser.sites.courses.world import CoursesState, build
from turnsmith.envs.browser.sites.kit import Site

COURSES = Site("courses", build, CoursesState.arrive, ROUTES, TEMPLATES)
