"""Credit for every turn: pure functions, each with its equation."""
