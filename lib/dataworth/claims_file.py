"""What a chapter claims, fixed before any run: `book/<part>/<chapter>.claims.yaml`.

One entry a claim, under its id. A field may quote numbers as `str.format` does (`{scarce:,}`): the
chapter gives them to `claims.judge`, the claim's own estimate is `{value}`, `{low}`, `{high}`.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)

from dataworth import strict_yaml
from dataworth.errors import UserError, quoted, short
from dataworth.paths import project_root
from dataworth.verdicts import Rule, at_chance, seen

OWN = ("value", "low", "high")  # of the claim's estimate, in every template
TEMPLATES = (
    "statement", "published", "published_number", "region", "unit", "effect", "control", "units",
    "level", "practice",
)  # fmt: skip


def names_in(template: str) -> set[str]:
    """The names that a template asks for. Raises ValueError where it is no template."""
    found: set[str] = set()
    for _, field, spec, _ in Formatter().parse(template):
        if field is not None:
            name = re.split(r"[.\[]", field)[0]
            if not name.isidentifier():
                raise ValueError(name)
            found |= {name} | names_in(spec or "")
    return found


def _template(text: str) -> str:
    names_in(text)
    return text


def _literal(text: str) -> str:
    if "{" in text or "}" in text:
        raise ValueError
    return text


def _quoting(text: str) -> str:
    if names_in(text) <= set(OWN):
        raise ValueError
    return text


def _ordered(region: list[Any]) -> list[Any]:
    first, last = region
    if not isinstance(first, str | None) and not isinstance(last, str | None) and first > last:
        raise ValueError
    if first == "inf" or last == "-inf":
        raise ValueError
    return region


def _outside(value: float | None, fields: ValidationInfo) -> float | None:
    """Of a value of no effect: raises ValueError where `Rule` does."""
    region = [end for end in map(_number, fields.data.get("region", [])) if end is not None]
    if value is not None and "matters" in fields.data:
        Rule((region[0], region[1]) if len(region) == 2 else (value, value), value,
             fields.data["matters"])  # fmt: skip
    return value


def _number(end: Any) -> float | None:
    """None of an end that is a name in braces."""
    return None if isinstance(end, str) and end.startswith("{") else float(end)


Text = Annotated[str, Field(pattern=r"^\S(.*\S)?$")]  # one line
Template = Annotated[Text, AfterValidator(_template)]
End = (
    float
    | Literal["inf", "-inf"]
    | Annotated[str, Field(pattern=r"^\{[^{}]+\}$"), AfterValidator(_template)]
)


Name = Annotated[str, Field(pattern=r"^\{[^{}:!]+\}$"), AfterValidator(_template)]
Quoted = Annotated[str, Field(pattern=r"^\{[^{}]+\}$"), AfterValidator(_template)]
Published = Annotated[list[float | Quoted], Field(min_length=1, max_length=2)]
Outcome = Literal["supported", "below", "above", "no effect", "inconclusive", "not measurable here"]
STRICT = ConfigDict(frozen=True, strict=True, extra="forbid")


class Units(BaseModel):
    """How many units (`of`: classes, sources, documents) an estimate is over, and the fewest over
    which it says anything."""

    model_config = STRICT

    count: Name | int
    of: Annotated[Text, AfterValidator(_literal)]
    least: Annotated[int, Field(gt=1)]


class Level(BaseModel):
    """An estimate of the level that the claim is on changes of (`of`: what it is the level of), and
    what guessing reaches."""

    model_config = STRICT

    value: Name
    of: Annotated[Text, AfterValidator(_literal)]
    chance: float


class Stated(BaseModel):
    """One claim. `region`: the values that agree with it; an end `"{name}"` is a number of the
    chapter's parameters, never of its results. `matters`: the smallest effect that matters, in
    `unit`; None where none makes sense. `definition`: which estimate of which runs, whatever the
    profile. `effect`: what the estimate means here.

    What a claim may have besides: `published_number`, the paper's number where it is in `unit`
    (one, or the ends of a range), for the picture of all claims; `no_effect`, the value that means
    no effect, where an effect is claimed; `control`, what it is compared with, quoting its number;
    `units` and `level`,
    without which nothing is measured; `settles`, a sentence on what would settle it, where its
    interval is a range over choices or settings, which more runs do not narrow; `practice`, what
    each outcome means to who has to decide (`below` and `above`: contradicted on that side).
    """

    model_config = STRICT

    statement: Template
    source: Text
    published: Template
    region: Annotated[list[End], Field(min_length=2, max_length=2), AfterValidator(_ordered)]
    unit: Template
    matters: Annotated[float, Field(gt=0)] | None
    definition: Annotated[Text, AfterValidator(_literal)]
    effect: Template
    no_effect: Annotated[float | None, AfterValidator(_outside)] = None
    published_number: Annotated[list[float | Quoted], Field(min_length=1, max_length=2)] | None = (
        None
    )
    control: Annotated[Template, AfterValidator(_quoting)] | None = None
    units: Units | None = None
    level: Level | None = None
    settles: Annotated[Text, AfterValidator(_literal)] = ""
    practice: Annotated[dict[Outcome, Template], Field(min_length=1)] | None = None

    @property
    def correlation(self) -> bool:
        """Whether the estimate is a correlation, by its unit."""
        return "correlation" in self.unit

    def asks(self, field: str) -> set[str]:
        """The names that a field (one of TEMPLATES) asks for."""
        return set().union(*map(names_in, _texts(self.model_dump()[field])))


def _texts(value: Any) -> list[str]:
    """All texts in a value of mappings and lists."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    """A value of mappings and texts with the values in the places of its texts."""
    if isinstance(value, dict):
        return {key: _filled(item, values) for key, item in value.items()}
    return value.format_map(values) if isinstance(value, str) else value


ALLOWED = {
    **dict.fromkeys(("statement", "published", "unit", "effect"),
                    "one line of text, with names in braces such as {scarce:,} where it quotes"),
    "control": "one line of text that quotes the control's number by its name in braces",
    "source": "one line of text: paper and place in it",
    "definition": "one line of text without braces: which estimate of which runs",
    "settles": "one line of text without braces: what would settle a range over choices",
    "region": "two ends in order, each a number, inf, -inf or one name in braces",
    "published_number": "one or two numbers, or names in braces, in the claim's unit",
    "matters": "a positive number or null",
    "no_effect": "a number outside the region or on its edge, where matters is one too, or null",
    "units": "a mapping of count, of and least",
    "units.count": "a number or one name in braces",
    "units.least": "a whole number above 1",
    "level": "a mapping of value, of and chance",
    "level.value": "one name in braces, of an estimate",
    "level.chance": "a number",
    **dict.fromkeys(("units.of", "level.of"), "one line of text without braces"),
    "estimate": "a mapping of of (ratio, loss, measured or a parameter of the law), group, and "
                "less, over or at",
    "practice": "a mapping of outcomes (supported, below, above, no effect, inconclusive, not "
                "measurable here) to one line of text each",
}  # fmt: skip
Id = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]


@dataclass(frozen=True)
class Statements:
    """The claims of one file, by id; `shown` is what a sentence calls it, `title` the chapter's."""

    path: Path
    shown: str
    title: str
    claims: dict[str, Stated]
    lines: dict[str, int]

    def check(self, ids: Iterable[str], given: Collection[str]) -> None:
        """Validate a call of `claims.judge` before anything is computed: the ids of its estimates
        and the names of its values. Raises UserError where one is missing, unknown or given twice.
        """
        judged = list(ids)
        odd = [(id, "is judged twice") for id in judged if judged.count(id) > 1]
        odd += [(id, "is not stated there") for id in judged if id not in self.claims]
        odd += [(id, "has no estimate") for id in self.claims if id not in judged]
        if odd:
            raise UserError(
                f"{self.shown}: claim '{short(odd[0][0])}' {odd[0][1]}; claims.judge takes one "
                f"estimate for each of {', '.join(self.claims)}."
            )
        wanted: set[str] = set()
        for id, stated in self.claims.items():
            for field in TEMPLATES:
                names = stated.asks(field) - set(OWN)
                wanted |= names
                if missing := sorted(names - set(given)):
                    raise UserError(
                        f"{self.where(id, field)} asks for '{missing[0]}', which claims.judge was "
                        f"not given; it was given {', '.join(sorted(given)) or 'no value'}."
                    )
        if unused := sorted(set(given) - wanted):
            raise UserError(
                f"{self.shown}: claims.judge was given '{short(unused[0])}', which no claim asks "
                f"for; they ask for {', '.join(sorted(wanted)) or 'no value'}."
            )

    def where(self, id: str, field: str) -> str:
        return f"{self.shown}, line {self.lines[id]}: field '{field}' of claim '{id}'"

    def filled(self, id: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """The claim's fields with the values in their places. Raises UserError where a value does
        not fit its place."""
        stated = self.claims[id]
        found = stated.model_dump(include=set(Stated.model_fields)) | {"controls": []}
        for field in TEMPLATES:
            try:
                if field == "region":
                    found[field] = tuple(float(str(x).format_map(values)) for x in found[field])
                    Rule(found[field], stated.no_effect, stated.matters)
                elif field == "published_number" and stated.published_number:
                    found[field] = [float(str(x).format_map(values)) for x in found[field]]
                elif field == "units" and stated.units:
                    found[field] = _too_few(stated.units, values)
                elif field == "level" and stated.level:
                    found[field] = _at_chance(stated.level, values)
                else:
                    found[field] = _filled(found[field], values)
                if field == "control" and stated.control:
                    found["controls"] = _numbers_in(stated.control, values)
            except (ValueError, TypeError, LookupError, AttributeError) as error:
                raise UserError(
                    f"{self.where(id, field)} cannot be filled in: {short(str(error), 200)}; "
                    f"it must be {ALLOWED[field]}."
                ) from None
        found["control"] = found["control"] or ""
        gate = " ".join(filter(None, (found.pop("units"), found.pop("level"))))
        by = Rule(found["region"], stated.no_effect, stated.matters)
        ends = (values["low"], values["high"])
        found["unmeasurable"] = gate and gate + seen(by, ends, stated.correlation)
        return found

    def since(self) -> dict[str, str]:
        """Since when each claim's region stands: date and commit of the last change of its line,
        "not committed", or "no history" outside git and for a new file."""
        text = self.path.read_text(encoding="utf-8").splitlines()
        found = {}
        for id, line in self.lines.items():
            at = next(n for n in range(line, len(text)) if re.match(r"\s+region:", text[n])) + 1
            found[id] = _blamed(self.path, at)
        return found


def _numbers_in(template: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The estimates that a control quotes, with their intervals; where it quotes none, its plain
    numbers. Raises ValueError where it quotes neither, or the claim's own alone."""
    asked = [field for _, field, _, _ in Formatter().parse(template) if field and field not in OWN]
    items = [Formatter().get_field(field, (), values)[0] for field in asked]
    numbers = [item for item in items if hasattr(item, "value")]  # beside these, others are labels
    numbers = numbers or [item for item in items if not isinstance(item, str)]
    if not numbers:
        raise ValueError("it quotes no number")
    return [
        {"estimate": float(item.value), "interval": (float(item.low), float(item.high))}
        if hasattr(item, "value")
        else {"estimate": float(item), "interval": None}
        for item in numbers
    ]


def _too_few(units: Units, values: Mapping[str, Any]) -> str:
    """Why too few units say nothing, "" where they are enough."""
    count = int(str(units.count).format_map(values))
    if count >= units.least:
        return ""
    return f"{count} {units.of} are fewer than the {units.least} that it takes to say anything."


def _at_chance(level: Level, values: Mapping[str, Any]) -> str:
    """Why a level near chance says nothing, "" where it is not near."""
    name = level.value.strip("{}")
    e = Formatter().get_field(name, (), values)[0]
    if not all(hasattr(e, end) for end in ("value", "low", "high")):
        raise TypeError(f"'{name}' is {short(str(e))}, no estimate with an interval")
    return at_chance(float(e.value), (float(e.low), float(e.high)), level.chance, level.of)


def find(chapter: str, book: Path | None = None) -> Path | None:
    """The claims file of a chapter: in `book`; else beside the notebook that runs or in book/ of
    the working folder or of the clone. None where it has none."""
    name = f"{chapter.replace('-', '_')}.claims.yaml"
    places = [(book, f"*/{name}")] if book else [(Path.cwd(), name), (Path.cwd(), f"book/*/{name}")]
    if not book and (root := project_root()):
        places.append((root, f"book/*/{name}"))
    return next((path for folder, where in places for path in sorted(folder.glob(where))), None)


def read(path: Path, shown: str | None = None, of: type[Stated] = Stated) -> Statements:
    """The claims of a file. shown: what to call it in a sentence. of: what each must be.

    Raises UserError naming file, line, claim and field, and what is allowed there.
    """
    shown = shown or "/".join(path.parts[-3:])
    document = strict_yaml.read(path, shown)
    try:
        claims = TypeAdapter(dict[Id, of]).validate_python(document.value)  # type: ignore[valid-type]
    except ValidationError as error:
        raise UserError(_sentence(error, shown, document.lines, of)) from None
    source = path.with_name(path.name.replace(".claims.yaml", ".py"))
    heading = (
        re.search(r"^# # (.+)$", source.read_text("utf-8"), re.M) if source.is_file() else None
    )
    title = heading[1].strip() if heading else source.stem.replace("_", "-")
    return Statements(path, shown, title, claims, document.lines)


def of(chapter: str, book: Path | None = None) -> Statements:
    """The claims of a chapter (`find`). Raises UserError where there is no file or a faulty one."""
    if (path := find(chapter, book)) is None:
        raise UserError(
            f"Chapter '{short(chapter)}' has no claims: {chapter.replace('-', '_')}.claims.yaml "
            "must lie beside it."
        )
    return read(path)


def of_cells(chapter: str, code: str, book: Path) -> Statements | None:
    """The claims of a chapter that has not run, held against the call of `claims.judge` in its
    code; None where it neither states nor judges any. Raises UserError."""
    call = judged(code)
    if call is None and find(chapter, book) is None:
        return None
    found = of(chapter, book)
    if call is not None:
        found.check(*call)
    return found


def judged(code: str) -> tuple[list[str], list[str]] | None:
    """Ids and names of values of the last call `claims.judge(chapter, {"id": ...}, name=...)`; None
    where there is none that can be read off (ids written out, no **values)."""
    calls = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Call)]
    calls = [n for n in calls if ast.unparse(n.func) == "claims.judge" and len(n.args) == 2]
    if not calls:
        return None
    last = max(calls, key=lambda call: call.lineno)
    keys = last.args[1].keys if isinstance(last.args[1], ast.Dict) else [None]
    ids = [str(key.value) for key in keys if isinstance(key, ast.Constant)]
    names = [word.arg for word in last.keywords if word.arg]
    whole = len(ids) == len(keys) and len(names) == len(last.keywords)
    return (ids, names) if whole else None


def _sentence(
    error: ValidationError, shown: str, lines: Mapping[str, int], of: type[Stated]
) -> str:
    # A misspelt name is told as such, not as the field that is missing for it.
    first = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    id, *inner = (str(part) for part in first["loc"]) if first["loc"] else ("",)
    if not id:
        return f"{shown} must hold a mapping 'id: fields', one entry a claim."
    place = f"{shown}, line {lines.get(id, 1)}: "
    if inner == ["[key]"]:
        return f"{place}the id '{short(id)}' must be small letters, digits and dashes."
    if not inner:
        return f"{place}claim '{short(id)}' must be a mapping of {', '.join(of.model_fields)}."
    field = inner[0]
    if field not in of.model_fields:
        return (
            f"{place}claim '{short(id)}' has an unknown field '{short(field)}'; known are "
            f"{', '.join(of.model_fields)}."
        )
    told = ".".join(map(short, inner[:2])) if field in ("units", "level") else field
    allowed = ALLOWED.get(told, ALLOWED[field])
    if first["type"] == "missing":
        return f"{place}claim '{short(id)}' has no field '{told}'; it must be {allowed}."
    value = quoted(first["input"])
    return f"{place}field '{told}' of claim '{short(id)}' is {value}; it must be {allowed}."


def _blamed(path: Path, line: int) -> str:
    command = ["git", "blame", "--date=short", f"-L{line},{line}", path.name]
    try:
        done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "no history"
    found = re.match(r"\^?([0-9a-f]+) .*?(\d{4}-\d\d-\d\d)", done.stdout)
    if found is None:
        return "no history"
    return f"{found[2]} ({found[1]})" if found[1].strip("0") else "not committed"
