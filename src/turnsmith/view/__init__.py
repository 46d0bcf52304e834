"""The reports and the web viewer."""
