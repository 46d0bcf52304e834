"""Dialogues in which one side knows what is wanted: the environment, and the renderer of pages that agents write.

Which dialogues there are is a world's business: `worlds.programs.backend` (ColBench's functions) and `worlds.frontend`
(its pages).
"""

from turnsmith.envs.dialogue.environment import Dialogue, DialogueEnvironment, Dialogues, Reply

__all__ = ["Dialogue", "DialogueEnvironment", "Dialogues", "Reply"]
