"""KALIE (arXiv 2409.14066): robot manipulation from keypoint affordances, learned from few images and synthesis."""
