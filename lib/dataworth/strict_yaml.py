"""YAML that means one thing: the types of YAML 1.2's core schema, and everything doubtful refused.

PyYAML alone reads YAML 1.1, where `017` is 15, `12:30:45` is 45045 and `no` is false; it keeps the
last of two equal keys and raises what it likes. Here every refusal is a sentence with the line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from dataworth.display import plain
from dataworth.errors import UserError, quoted, short

MOST_BYTES = 1 << 20
MOST_DIGITS = 30
MOST_DEPTH = 20


@dataclass(frozen=True)
class Document:
    """What a file says: `value`, and the line (from 1) of every key of the outermost mapping."""

    value: Any
    lines: dict[str, int]


class _Refused(ValueError):
    """The rest of a sentence that begins with the name of the file, and its line (from 1)."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def read(path: Path, shown: str) -> Document:
    """The document in a file; `shown` is what to call it in a sentence. Raises UserError."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{shown} cannot be read: {error.strerror}.") from None
    if len(data) > MOST_BYTES:
        raise UserError(f"{shown} is larger than {MOST_BYTES >> 20} MiB.")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{shown}, line {line}: byte {data[error.start]:#04x} is not UTF-8{_field(data, line)}."
        ) from None
    return parse(text, shown)


def parse(text: str, shown: str, first_line: int = 1) -> Document:
    """The document in `text`, whose first line is line `first_line` of what `shown` names.

    Raises UserError for what is not YAML, ambiguous (equal keys, leading zeros, anchors, tags,
    other keys than text), not finite, not to be seen (control characters), too long or nested too
    deep.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        value = None if node is None else loader.construct_document(node)
    except _Refused as error:
        raise UserError(f"{shown}, line {error.line + first_line - 1}: {error}.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + first_line}" if mark else ""
        reason = short(" ".join(x for x in (error.context, error.problem) if x), 160)
        raise UserError(f"{shown}{line} is not YAML: {reason}.") from None
    except yaml.YAMLError as error:  # a control character
        raise UserError(f"{shown} is not YAML: {short(str(error), 160)}.") from None
    top = node.value if isinstance(node, yaml.MappingNode) else []
    return Document(value, {key.value: key.start_mark.line + first_line for key, _ in top})


def _field(data: bytes, line: int) -> str:
    """ " (field 'x')" where the line begins with one."""
    found = re.match(rb"\s*([A-Za-z_]\w*)\s*:", data.split(b"\n")[line - 1])
    return f" (field '{found[1].decode()}')" if found else ""


class _Loader(yaml.SafeLoader):
    """SafeLoader with the core schema of YAML 1.2, and refusals."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (those of YAML 1.1 are not taken)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.key: str | None = None  # the outermost key that is read

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if self.depth == 1 and isinstance(parent, yaml.MappingNode):
            self.key = index.value if isinstance(index, yaml.ScalarNode) else None
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self.refuse(event, "anchors and aliases (& and *) are not allowed")
        if getattr(event, "tag", None):
            self.refuse(event, f"the tag {quoted(event.tag)} is not allowed")
        if self.depth > MOST_DEPTH:
            self.refuse(event, f"it is nested more than {MOST_DEPTH} deep")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def refuse(self, node: Any, reason: str) -> NoReturn:
        where = f"field '{short(self.key)}': " if self.key is not None else ""
        raise _Refused(node.start_mark.line + 1, f"{where}{reason}")

    def construct_document(self, node: Any) -> Any:
        if not isinstance(node, yaml.MappingNode):
            return self.construct_object(node, deep=True)
        self.key = None
        self.check_keys(node)
        value = {}
        for key, item in node.value:
            self.key = key.value
            value[key.value] = self.construct_object(item, deep=True)
        return value

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        self.check_keys(node)
        return {key.value: self.construct_object(item, deep=True) for key, item in node.value}

    def check_keys(self, node: Any) -> None:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                self.refuse(key, "a key is not text")
            self.construct_text(key)
            if key.value in seen:
                self.refuse(key, f"'{short(key.value)}' stands here and in line {seen[key.value]}")
            seen[key.value] = line

    def construct_text(self, node: Any) -> str:
        text: str = node.value
        if plain(text) != text:
            self.refuse(node, f"{quoted(text)} holds a control character")
        return text

    def construct_number(self, node: Any) -> int | float:
        text = node.value.lower()
        digits = text.lstrip("+-")
        if len(digits) > MOST_DIGITS:
            self.refuse(node, f"the number {short(node.value, 40)} has {len(digits)} characters")
        if digits.startswith(("0x", "0o")):
            return int(text, 0)
        if re.fullmatch(r"0\d+", digits):
            plainly = digits.lstrip("0") or "0"
            self.refuse(node, f"{node.value} begins with a zero; write {plainly} or 0o{plainly}")
        return int(text) if digits.isdigit() else self.finite(node, float(text))

    def finite(self, node: Any, number: float) -> float:
        if not math.isfinite(number):
            self.refuse(node, f"{short(node.value)} is not a finite number")
        return number

    def construct_odd(self, node: Any) -> NoReturn:
        self.refuse(node, f"{node.value} is not a finite number")


_NUMBER = r"[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?|0o[0-7]+|0x[0-9a-fA-F]+"
_ODD = r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("number", _NUMBER, list("-+.0123456789")),
    ("odd", _ODD, list("-+.")),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z", re.ASCII), _first
    )
_Loader.add_constructor("tag:yaml.org,2002:str", _Loader.construct_text)
_Loader.add_constructor("tag:yaml.org,2002:number", _Loader.construct_number)
_Loader.add_constructor("tag:yaml.org,2002:odd", _Loader.construct_odd)
