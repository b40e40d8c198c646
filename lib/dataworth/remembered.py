"""What a pure function of texts has given, kept beside the bytecode.

Like bytecode it is a copy of what could be made again, so it is dropped wherever it does not fit:
the name of an entry is a digest of all that the function reads and of the code that computes it,
the file holds its own checksum, and where it cannot be read or written everything is made anew.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any

MOST_ENTRIES = 2000  # the oldest go first


class Remembered:
    """Plain JSON values by digest, for the functions of one module.

    module: the source file of the functions; an edit there, or another Python, forgets all.
    """

    def __init__(self, module: str) -> None:
        self.module, self.new = Path(module), False

    @cached_property
    def path(self) -> Path:
        """Beside the module's bytecode (`sys.pycache_prefix` counts)."""
        return Path(importlib.util.cache_from_source(str(self.module))).with_suffix(".json")

    @cached_property
    def _code(self) -> bytes:
        return hashlib.sha256(sys.version.encode() + self.module.read_bytes()).digest()

    @cached_property
    def _values(self) -> dict[str, Any]:
        with suppress(OSError, ValueError, AttributeError):
            checksum, _, text = self.path.read_text(encoding="ascii").partition("\n")
            if checksum == hashlib.sha256(text.encode()).hexdigest():
                return dict(json.loads(text))
        return {}

    def key(self, *texts: str) -> str:
        """The name of the value that follows from these texts."""
        told = json.dumps(texts).encode()
        return hashlib.sha256(self._code + told).hexdigest()[:40]

    def get(self, key: str) -> Any | None:
        return self._values.get(key)

    def put(self, key: str, value: Any) -> None:
        """Remember a value; `save` keeps it."""
        self._values[key] = value
        self.new = True

    def save(self) -> None:
        """Write the file whole or not at all, if there is anything new and bytecode is kept."""
        if not self.new or sys.dont_write_bytecode:
            return
        self.new = False
        text = json.dumps(dict(list(self._values.items())[-MOST_ENTRIES:]))
        half = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        with suppress(OSError):
            half.parent.mkdir(parents=True, exist_ok=True)
            half.write_text(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}", "ascii")
            half.replace(self.path)


@cache
def remembered(module: str) -> Remembered:
    """What is remembered for a module, read once in a process."""
    return Remembered(module)
