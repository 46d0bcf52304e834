"""The forum: boards, threads, replies, votes, likes, and members to follow."""

from turnsmith.worlds.sites.forum.pages import ROUTES
from turnsmith.worlds.sites.forum.tasks import TEMPLATES
from turnsmith.worlds.sites.forum.world import ForumState, build
from turnsmith.worlds.sites.kit import Site

FORUM = Site("forum", build, ForumState.arrive, ROUTES, TEMPLATES)
