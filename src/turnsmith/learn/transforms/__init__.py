"""Changes of examples while they are learned: other names, moved and recoloured screens."""
