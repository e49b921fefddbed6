"""A QR code (ISO/IEC 18004) drawn with half blocks, two modules above each other in a cell."""

from dataclasses import dataclass

__all__ = ["Drawing", "draw"]

#: Modules of margin, the wider one where there is room. The standard asks for four; readers do with
#: less, and an invite must fit a small screen.
QUIET_ZONES = (2, 1)
#: White on black whatever the theme is. The light modules are drawn, so that without colours, too,
#: it is right on a dark screen.
_COLOURS, _OFF = "\x1b[38;5;231;48;5;16m", "\x1b[0m"
#: By whether the upper and the lower module are dark.
_CELLS = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}


@dataclass(frozen=True, slots=True)
class Drawing:
    """Styled lines, and how many cells they take."""

    text: str
    columns: int
    rows: int


def draw(text: str, columns: int | None = None) -> Drawing:
    """The smallest code that holds ``text``: of an invite, 41 columns and 21 rows at most.

    Where there are fewer ``columns`` it has less margin.
    """
    import segno  # for the few who want one

    code = segno.make(text, micro=False, error="l", boost_error=True)
    size = code.symbol_size(border=0)[0]
    wide, narrow = QUIET_ZONES
    margin = wide if columns is None or size + 2 * wide <= columns else narrow
    rows = [tuple(row) for row in code.matrix_iter(border=margin)]
    if len(rows) % 2:
        rows.append((0,) * len(rows[0]))
    lines = [
        "".join(_CELLS[pair] for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    ]
    return Drawing(
        "".join(f"{_COLOURS}{line}{_OFF}\n" for line in lines),
        len(rows[0]),
        len(lines),
    )
