"""Who says what an episode was worth: exact checks, the oracle, model-based judges."""
