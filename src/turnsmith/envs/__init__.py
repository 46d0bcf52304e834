"""Where the agent acts: one folder an environment. `base` is the contract that all of them keep."""

from turnsmith.envs.base import Environment, Session, Step

__all__ = ["Environment", "Session", "Step"]
