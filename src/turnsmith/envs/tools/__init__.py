"""Tool environments: an agent calls functions that read and change a world, and speaks with a user (docs/tools.md)."""
