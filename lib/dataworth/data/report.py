"""What was found in a user's own data, what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Report:
    """What `dataworth data add` says. `found`: numbers and names, in the order of telling;
    `left_out`: for each reason how many, and the first of them; `changed`: what was done to how
    many that are kept; `notes`: what was guessed, and what to know."""

    found: dict[str, Any] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    changed: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def leave_out(self, reason: str, which: str = "", count: int = 1) -> None:
        """Count what is left out; `which` names it."""
        if count:
            self.left_out[reason] += count
            if which:
                self.first.setdefault(reason, which)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "found": self.found,
            "left_out": [
                {"reason": reason, "count": count, "first": self.first.get(reason)}
                for reason, count in self.left_out.items()
            ],
            "changed": dict(self.changed),
            "notes": self.notes,
        }

    def lines(self) -> Iterator[str]:
        """As sentences."""
        for name, value in self.found.items():
            yield f"{name}: {_words(value)}"
        for reason, count in self.left_out.items():
            first = f"; the first: {self.first[reason]}" if reason in self.first else ""
            yield f"left out: {count:,} ({reason}{first})"
        for what, count in self.changed.items():
            yield f"kept: {count:,} ({what})"
        yield from self.notes


def _words(value: Any) -> str:
    if isinstance(value, dict):
        shown = [f"{name} {_words(inner)}" for name, inner in list(value.items())[:MOST_SHOWN]]
        more = len(value) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


MOST_SHOWN = 20
