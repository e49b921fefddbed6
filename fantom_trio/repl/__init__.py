"""What a person sees: the REPL on prompt_toolkit. It knows the nursery by its face only.

How to read this folder: ``app`` has the two loops, events to the screen and lines to ``slash``'s
commands (``commands`` makes parser, completion and help of them) or to the active peer. ``render``
turns what happened into text by way of ``sanitize``, ``explain`` what went wrong. ``terminal`` is
the face of the screen: ``screen`` and ``editor`` for a real one, ``plain`` for pipes; ``console``
chooses.
"""
