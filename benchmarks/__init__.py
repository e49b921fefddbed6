"""How fast it is: ``make bench`` prints a table, ``python -m benchmarks --json`` one JSON object.

Each row stands beside its limit, measured in the same run, because machines differ and are noisy.
"""
