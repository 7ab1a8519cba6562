"""The one exception root. Every error that policyd raises on purpose derives from it."""

from __future__ import annotations

from typing import Self


class PolicydError(Exception):
    """Base of all errors raised by policyd; its text is fit for a user's eyes."""

    def kept(self) -> Self:
        """Return the error as a value to keep: without the frames that it came through.

        A traceback refers to its frames, and so to the object that keeps the error. That circle
        would keep the message that was being read in memory until the next garbage collection.
        """
        self.__cause__ = self.__context__ = None
        return self.with_traceback(None)


class InternalError(PolicydError):
    """A defect of policyd that one of its own checks has found. Nothing was written."""
