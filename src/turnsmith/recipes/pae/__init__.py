"""PAE: a web agent that learns from tasks that it set itself (arXiv 2412.13194). README.md is its page."""
