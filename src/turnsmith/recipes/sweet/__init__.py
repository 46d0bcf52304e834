"""SWEET-RL (arXiv 2503.15478): a critic of turns that reads training-time information, and DPO turn by turn."""
