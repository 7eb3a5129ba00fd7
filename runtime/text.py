"""From token bytes to text: whole characters only, and never a stop string."""

from __future__ import annotations

import codecs


class TextAssembler:
    """Turns the byte pieces of one sample into text as early as possible.

    A character that is not complete yet is held back, and so is a tail that could be the beginning of a stop string.

    Args:
        stop: strings before which the text ends.
    """

    def __init__(self, stop: tuple[str, ...] = ()) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._stop = stop
        self._held = ""
        self.stopped = False
        """Whether a stop string appeared; nothing comes out after that."""

    def add(self, piece: bytes) -> str:
        """Take the bytes of one token; return the text that is certain now."""
        if self.stopped:
            return ""
        self._held += self._decode(piece)
        cuts = [at for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if cuts:
            self.stopped = True
            text, self._held = self._held[: min(cuts)], ""
            return text
        keep = max((_overlap(self._held, stop) for stop in self._stop), default=0)
        text, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return text

    def end(self) -> str:
        """No more tokens come: return what was held back."""
        if self.stopped:
            return ""
        text, self._held = self._held + self._decode(b"", True), ""
        return text


def _overlap(text: str, stop: str) -> int:
    """Length of the longest proper beginning of `stop` that `text` ends with."""
    for length in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
