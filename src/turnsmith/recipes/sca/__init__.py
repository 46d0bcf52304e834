"""Self-Challenging agents (arXiv 2506.01716). See README.md."""
