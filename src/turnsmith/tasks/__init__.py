"""Task files, splits and the overlap check; proposers and curricula come with their recipes."""
