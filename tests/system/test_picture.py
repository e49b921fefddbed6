"""The picture in the README is what the program shows today."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests import picture

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    """What stands in the picture, but for what differs each time: the clock and the code."""
    found = ["".join(text.itertext()) for text in ET.fromstring(svg).iter(f"{SVG}text")]
    return [re.sub(r"\d\d:\d\d|\d{4} \d{4}", "#", text) for text in found]


@pytest.mark.slow
def test_the_picture_is_of_the_program_as_it_is(tmp_path: Path) -> None:
    with picture.session(tmp_path) as screen:
        now = picture.drawn(screen)
    kept = picture.FILE.read_text(encoding="utf-8")
    assert texts(kept) == texts(now), "make picture draws it anew"
    assert "1 bob" in texts(kept)
    assert ET.fromstring(kept).get("viewBox") == ET.fromstring(now).get("viewBox")


def test_the_picture_asks_nobody_for_anything() -> None:
    assert "http" not in picture.FILE.read_text(encoding="utf-8").replace(SVG[1:-1], "")
