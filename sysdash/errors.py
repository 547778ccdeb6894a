"""What can go wrong for reasons that the user, not the program, can mend."""

from __future__ import annotations


class CannotCollect(Exception):
    """This machine, or what the user may do on it, does not allow the collection (exit code 1).

    Attributes:
        reason: what stands in the way, in one sentence without a full stop.
        remedy: what to do about it, likewise; empty if nothing can be done.
    """

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        remedy = self.remedy[:1].upper() + self.remedy[1:]
        return f"{self.reason}. {remedy}".rstrip(". ") + "."


class CannotRun(Exception):
    """There is no such command, or it is no program; the message is one line (exit code 2)."""
