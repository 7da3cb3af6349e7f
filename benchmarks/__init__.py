"""Comparisons with other libraries and with what the machine can do; not tests, and imported by nobody. `python -m benchmarks --help`."""
