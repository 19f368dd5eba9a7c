"""Ramps: the fit itself is the C library's, see :mod:`iris_readout`."""
