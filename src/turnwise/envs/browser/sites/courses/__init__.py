"""The course catalogue: departments, groups, prerequisites, lecturers, enrolment."""

from turnwise.envs.browser.sites.courses.pages import ROUTES
from turnwise.envs.browser.sites.courses.tasks import TEMPLATES
from turnwise.envs.browser.sites.courses.world import CoursesState, build
from turnwise.envs.browser.sites.kit import Site

COURSES = Site("courses", build, CoursesState.arrive, ROUTES, TEMPLATES)
