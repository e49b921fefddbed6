"""What a person sees: the REPL on prompt_toolkit. It knows the nursery by its face only.

How to read this folder: ``app`` has the two loops, events to the screen and lines to the commands
in ``slash`` (``commands`` makes parser, completion and help of them) or to the active peer.
``render`` turns what happened into text by way of ``sanitize`` (which ``kinds`` of characters are
shown) and ``layout`` (how wide they are); ``explain`` and ``doctor`` say what is wrong.
``terminal`` is the face of the screen: ``screen``, ``editor`` and ``drawing`` for a real one,
``plain`` for pipes; ``console`` chooses. ``languages`` has every text in four ways of writing.
"""
