"""How fast it is: ``make bench`` prints a table, ``python -m benchmarks --json`` one JSON object.

Each row stands beside its limits, measured in the same run, because machines differ and are noisy.
How to read this folder: ``rows`` is the table, ``table`` what a row is and how it is printed. Each
of ``receive``, ``native``, ``handshakes``, ``memory``, ``start`` and ``echo`` measures some rows
with ``node`` and ``peers``, the other process; ``limits`` is what they stand beside. ``growth``
says how the cost grows, ``compare`` puts two commits side by side, ``where`` is the profile.
"""
