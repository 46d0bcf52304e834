"""The forum: boards, threads, replies, votes, likes, and members to follow."""

from turnwise.envs.browser.sites.forum.pages import ROUTES
from turnwise.envs.browser.sites.forum.tasks import TEMPLATES
from turnwise.envs.browser.sites.forum.world import ForumState, build
from turnwise.envs.browser.sites.kit import Site

FORUM = Site("forum", build, ForumState.arrive, ROUTES, TEMPLATES)
