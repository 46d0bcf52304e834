"""One file a paper: config, presets, main loop, claims."""
