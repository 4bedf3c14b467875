"""The open connections of a worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tricorn.io.connection import Connection


class Registry(set["Connection"]):
    """The open connections of a worker, and those whose applications still run."""

    def __init__(self) -> None:
        super().__init__()
        self.on_empty: Callable[[], None] | None = None

    def discard(self, connection: object) -> None:
        """Forget a connection; tells ``on_empty`` at the last."""
        super().discard(connection)
        if not self and self.on_empty is not None:
            self.on_empty()
