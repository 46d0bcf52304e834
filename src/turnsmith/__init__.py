"""Turnsmith trains language and vision-language agents that act over many turns.

The loop: propose tasks, act in real environments, judge what came of it, credit every turn, learn.
Start with `turnsmith demo`; `docs/architecture.md` shows the rooms and which way the arrows point.
"""

__version__ = "0.2.0.dev0"
