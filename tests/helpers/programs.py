"""Programs that a test starts."""

from __future__ import annotations

import subprocess
from types import TracebackType


class Program(subprocess.Popen[str]):
    """A process that does not outlive its ``with`` block, however that ends."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()  # nothing, if its end was waited for
        super().__exit__(exc_type, value, traceback)
