"""A run on disk: its folder and metrics, settings without torch, progress, and what is made once."""
