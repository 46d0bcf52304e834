"""The forum: boards, threads, replies, votes, likes, and members to follow."""

from turnsmith.envs.browser.sites.forum.pages import ROUTES
from turnsmith.envs.browser.sites.forum.tasks import TEMPLATES
from turnsmith.envs.browser.sites.forum.world import ForumState, build
from turnsmith.envs.browser.sites.kit import Site

FORUM = Site("forum", build, ForumState.arrive, ROUTES, TEMPLATES)
