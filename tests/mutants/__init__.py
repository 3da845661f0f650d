"""Faults planted in the kernels, one at a time, to see which tests notice: `make mutants`."""
