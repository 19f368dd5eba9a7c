"""Simulated truth through the real pipelines, and the table of figures that says how close they come."""
