"""Ctrl-C, remembered: an engine at work may turn it into an error of its own (DuckDB does)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Interrupts:
    """Whether Ctrl-C was pressed."""

    pressed: bool = False


@contextmanager
def watched() -> Iterator[Interrupts]:
    """Note whether Ctrl-C is pressed; it raises KeyboardInterrupt as before."""
    seen = Interrupts()
    ours = threading.current_thread() is threading.main_thread()  # only there can a handler be set
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, or somebody else's
        yield seen
        return

    def press(number: int, frame: FrameType | None) -> None:
        seen.pressed = True
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, press)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
