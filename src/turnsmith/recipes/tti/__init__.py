"""Test-Time Interaction (TTI, arXiv 2506.07976): a curriculum over the interaction horizon."""
