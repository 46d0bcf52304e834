"""Countdown: reach a target with the given numbers, each used once (Adaptive Parallel Reasoning, 2504.15466)."""
