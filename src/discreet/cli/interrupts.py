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
    """Note whether Ctrl-C is pressed, and let whoever listened before go on: as a rule, raise KeyboardInterrupt."""
    seen = Interrupts()
    ours = threading.current_thread() is threading.main_thread()  # only there can a handler be set
    before = signal.getsignal(signal.SIGINT)
    if not ours or not callable(before):  # not callable: ignored, or set outside of Python
        yield seen
        return

    def press(number: int, frame: FrameType | None) -> None:
        seen.pressed = True
        before(number, frame)

    signal.signal(signal.SIGINT, press)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)
