"""Pure algorithms, one folder per kind of array: arrays in, new arrays out; no files, no logs."""
