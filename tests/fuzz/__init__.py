"""Fuzzing: what strangers, peers, routers, services and people may send, and what must stay true.

How to read this folder: a harness turns bytes into a run of one parser, or of the whole node, and
raises when an invariant is broken; they stand in ``links``, ``sessions``, ``records``, ``runs``,
``texts``, ``system`` and, with its ``guests``, ``whole_node``, and ``harnesses`` lists them.
``choices`` says how bytes are decisions, ``plain`` replaces encryption by identity, so that bytes
reach behind it. ``guided`` searches by coverage, through ``driven``, and ``blind`` without;
``corpus`` keeps the inputs that are worth it. ``python -m tests.fuzz`` is the runner.
"""
