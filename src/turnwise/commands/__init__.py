"""The verbs of the command line, one file each; `turnwise.cli` picks one and imports only that."""
