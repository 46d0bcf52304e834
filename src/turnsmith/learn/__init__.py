"""Losses as pure functions, and the trainers that use them; packing; checkpoints."""
