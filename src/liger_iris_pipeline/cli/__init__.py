"""The command line: argument parsing and progress only."""
