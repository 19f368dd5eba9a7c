"""The commands of ``iris-drs``: a module each, whose ``add`` describes it on the command line."""
