"""How tokens are sampled and scored: the local batched engine and the client of OpenAI-compatible endpoints."""
