"""The verbs of the command line, one file each; `turnsmith.cli` picks one and imports only that."""
