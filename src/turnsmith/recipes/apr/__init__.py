"""Adaptive Parallel Reasoning (arXiv 2504.15466)."""
