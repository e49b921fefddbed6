"""People who sit down at terminals, and get up when the test is over."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.user import Sit, User


@pytest.fixture
def sit(tmp_path: Path) -> Iterator[Sit]:
    """Sits somebody down at a terminal of their own."""
    users: list[User] = []

    def sit_down(name: str, *options: str, rows: int = 30, columns: int = 100) -> User:
        users.append(User(tmp_path / name, *options, rows=rows, columns=columns))
        return users[-1]

    yield sit_down
    for user in users:
        user.close()
