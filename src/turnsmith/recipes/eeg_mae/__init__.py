"""A masked autoencoder for EEG (arXiv 2408.05375)."""
