"""The recipes: which steps in which order, for one exposure, one mosaic, one night."""
