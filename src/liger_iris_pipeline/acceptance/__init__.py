"""Simulated truth through the real pipelines, and the table of figures that says how close they come.

A group of rows is a :class:`~liger_iris_pipeline.acceptance.table.Group`: cells that are simulated and measured in
processes of their own, a function that judges them, and plots. :func:`~liger_iris_pipeline.acceptance.run.run_groups`
measures groups; later work adds its own to :func:`~liger_iris_pipeline.acceptance.catalogue.all_groups`.
"""
