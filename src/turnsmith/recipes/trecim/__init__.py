"""TReCiM (arXiv 2501.01052)."""
