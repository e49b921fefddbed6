"""A QR code (ISO/IEC 18004) drawn with half blocks, two modules above each other in a cell."""

from dataclasses import dataclass

import segno

__all__ = ["Drawing", "draw"]

#: Modules of margin. The standard asks for four; readers do with two, and two fit 24 rows.
QUIET_ZONE = 2
#: White on black whatever the theme is. The light modules are drawn, so that without colours, too,
#: it is right on a dark screen.
_COLOURS, _OFF = "\x1b[38;5;231;48;5;16m", "\x1b[0m"
#: By whether the upper and the lower module are dark.
_CELLS = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}


@dataclass(frozen=True, slots=True)
class Drawing:
    """Styled lines, and how wide they are."""

    text: str
    columns: int


def draw(text: str) -> Drawing:
    """The smallest code that holds ``text``; an invite takes 41 columns and 21 rows."""
    code = segno.make(text, micro=False, error="l", boost_error=True)
    rows = [tuple(row) for row in code.matrix_iter(border=QUIET_ZONE)]
    if len(rows) % 2:
        rows.append((0,) * len(rows[0]))
    lines = (
        "".join(_CELLS[pair] for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    )
    return Drawing(
        "".join(f"{_COLOURS}{line}{_OFF}\n" for line in lines),
        len(rows[0]),
    )
