"""Digi-Q (arXiv 2502.15760)."""
