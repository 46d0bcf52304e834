"""Filtered behaviour cloning, the baseline of the recipes."""
