"""What the recipes of two papers use."""
