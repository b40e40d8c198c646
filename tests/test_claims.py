"""Verdicts follow from intervals alone; a ledger is plain JSON, written whole."""

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataworth import claims
from dataworth.claims import Claim, Verdict, claim, judge, recorded, write

numbers = st.floats(allow_nan=False)
spans = st.tuples(numbers, numbers).map(lambda ends: (min(ends), max(ends)))


@given(spans, spans)
def test_a_verdict_is_where_the_interval_lies(interval, region):
    verdict = judge(interval, region)
    overlap = max(interval[0], region[0]) <= min(interval[1], region[1])
    inside = region[0] <= interval[0] and interval[1] <= region[1]
    assert (verdict is Verdict.SUPPORTED) == inside
    assert (verdict is Verdict.CONTRADICTED) == (not overlap)
    assert (verdict is Verdict.INCONCLUSIVE) == (overlap and not inside)


@given(spans, spans, spans)
def test_a_narrower_interval_never_turns_a_verdict_around(interval, narrower, region):
    low, high = max(interval[0], narrower[0]), min(interval[1], narrower[1])
    if low <= high and judge(interval, region) is not Verdict.INCONCLUSIVE:
        assert judge((low, high), region) is judge(interval, region)


@given(spans, spans, st.floats(0.1, 10))
def test_a_verdict_does_not_depend_on_the_direction_of_the_scale(interval, region, k):
    flipped = [(-high, -low) for low, high in (interval, region)]
    assert judge(*flipped) is judge(interval, region)


@given(numbers, spans)
def test_an_unidentified_interval_is_inconclusive(end, region):
    for interval in ((math.nan, end), (end, math.nan), (math.nan, math.nan)):
        assert judge(interval, region) is Verdict.INCONCLUSIVE


def test_edges_belong_to_the_region():
    assert judge((1, 2), (1, 2)) is Verdict.SUPPORTED
    assert judge((2, 3), (1, 2)) is Verdict.INCONCLUSIVE
    assert judge((2, 2), (1, 2)) is Verdict.SUPPORTED
    assert judge((2.1, 3), (1, 2)) is Verdict.CONTRADICTED
    assert judge((-math.inf, math.inf), (0, math.inf)) is Verdict.INCONCLUSIVE
    assert judge((5, math.inf), (0, math.inf)) is Verdict.SUPPORTED


@pytest.mark.parametrize(("interval", "region"), [((2, 1), (0, 3)), ((1, 2), (3, 0))])
def test_ends_the_wrong_way_round(interval, region):
    with pytest.raises(ValueError, match="wrong way round"):
        judge(interval, region)


def make(interval=(3.0, 6.0), region=(1.0, math.inf), estimate: float = 4.5) -> Claim:
    return claim(
        "worth",
        "Synthetic images are worth less than real ones",
        source="Fan et al. 2023, Section 4",
        published="more than one",
        estimate=estimate,
        interval=interval,
        region=region,
        unit="images",
        effect="4.5 synthetic images do the work of one",
    )


@pytest.mark.parametrize(
    ("interval", "verdict", "reason"),
    [
        ((3.0, 6.0), "supported", "The interval [3, 6] lies inside the claimed range [1, ∞]."),
        ((0.5, 6.0), "inconclusive", "The interval [0.5, 6] reaches beyond the claimed range"),
        ((0.1, 0.5), "contradicted", "The interval [0.1, 0.5] lies outside the claimed range"),
        ((-math.inf, 0.5), "contradicted", "The interval [−∞, 0.5] lies outside"),
        ((math.nan, 2.0), "inconclusive", "The runs do not identify this quantity."),
    ],
)
def test_claim(interval, verdict, reason):
    made = make(interval)
    assert made.verdict == verdict and made.reason.startswith(reason)


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("DATAWORTH_RESULTS", str(tmp_path / "results"))
    monkeypatch.delenv("DATAWORTH_PROFILE", raising=False)
    return tmp_path / "results"


def strict(path):
    """JSON as the standard has it: no NaN, no Infinity."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_a_ledger_is_strict_json(results):
    made = make((math.nan, math.inf), (-math.inf, 1.0), math.nan)
    evidence = {
        "curve": {"n": [10, 100], "loss": [1.5, math.nan]},
        "ratio": (math.inf, np.float64(-np.inf), np.float64(0.25)),
    }
    path = write("some-chapter", "A title", [made], evidence=evidence, provenance={"torch": "2"})
    assert path == results / "some-chapter.json"
    content = strict(path)
    assert content["chapter"] == "some-chapter" and content["title"] == "A title"
    assert content["profile"] == "custom" and content["provenance"] == {"torch": "2"}
    assert content["evidence"] == {
        "curve": {"n": [10, 100], "loss": [1.5, None]},
        "ratio": ["inf", "-inf", 0.25],
    }
    (line,) = content["claims"]
    assert line["estimate"] is None and line["interval"] == [None, "inf"]
    assert line["region"] == ["-inf", 1.0] and line["verdict"] == "inconclusive"
    assert set(line) == set(Claim.__dataclass_fields__)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(json_values)
def test_any_evidence_is_written_as_strict_json(tmp_path_factory, value):
    folder = tmp_path_factory.getbasetemp() / "ledgers"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATAWORTH_RESULTS", str(folder))
        path = write("any", "Any", [], evidence={"value": value}, provenance={})

    def plain(x):
        if isinstance(x, float) and not math.isfinite(x):
            return None if math.isnan(x) else f"{x}"
        if isinstance(x, dict):
            return {k: plain(v) for k, v in x.items()}
        return [plain(v) for v in x] if isinstance(x, list) else x

    assert strict(path)["evidence"] == {"value": plain(value)}


def test_a_ledger_that_cannot_be_written_leaves_the_old_one(results):
    path = write("c", "Old", [make()], evidence={}, provenance={})
    with pytest.raises(TypeError):
        write("c", "New", [make()], evidence={"curve": np.arange(3)}, provenance={})
    assert strict(path)["title"] == "Old"
    assert [file.name for file in results.iterdir()] == ["c.json"]


def test_a_ledger_is_replaced_at_once(results, monkeypatch):
    """Whoever reads while a ledger is written sees the old one or the new one, whole."""
    path = write("c", "Old", [make()], evidence={}, provenance={})
    seen = []
    replace = type(path).replace

    def watch(temporary, target):
        seen.append((strict(path)["title"], strict(temporary)["title"]))
        return replace(temporary, target)

    monkeypatch.setattr(type(path), "replace", watch)
    write("c", "New", [make()], evidence={}, provenance={})
    assert seen == [("Old", "New")] and strict(path)["title"] == "New"
    assert [file.name for file in results.iterdir()] == ["c.json"]


def test_profile_is_recorded(results, monkeypatch):
    monkeypatch.setenv("DATAWORTH_PROFILE", "smoke")
    assert strict(write("c", "T", [], evidence={}, provenance={}))["profile"] == "smoke"


RUN = {
    "started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:01:00+00:00", "wall_s": 60.0,
    "versions": {"python": "3.11.7"}, "commit": None,
    "device": {"processor": "C", "cores": 2, "memory_gb": 8.0, "gpu": None, "system": "Linux"},
}  # fmt: skip


@pytest.fixture
def keep(tmp_path, monkeypatch):
    """Record a run of a chapter in a clone of its own; gives the ledger's path."""
    monkeypatch.setattr(claims, "project_root", lambda: tmp_path)

    def record(chapter, profile, lines=(), evidence=None):
        folder = tmp_path / "book" / "recorded" / profile
        monkeypatch.setenv("DATAWORTH_RESULTS", str(folder))
        monkeypatch.setenv("DATAWORTH_PROFILE", profile)
        path = write(chapter, profile, lines, evidence=evidence or {}, provenance={})
        path.write_text(claims.sealed_ledger(claims.read_ledger(path) | {"run": RUN}))
        return path

    return record


def test_recorded(keep, monkeypatch):
    assert recorded("some-chapter") is None and claims.recordings("some-chapter") == []
    keep("some-chapter", "gpu")
    assert recorded("some-chapter")["profile"] == "gpu"
    keep("some-chapter", "full")
    assert recorded("some-chapter")["profile"] == "gpu"  # the larger one is drawn
    assert [r["profile"] for r in claims.recordings("some-chapter")] == ["full", "gpu"]
    numbers = {"ratio": [1.5, math.inf, math.nan], "name": "x", "by": {"low": -math.inf}}
    keep("other-chapter", "full", evidence=numbers)
    kept = recorded("other-chapter")["evidence"]
    assert math.isnan(kept["ratio"].pop()) and numbers["ratio"].pop() is math.nan
    assert kept == numbers
    monkeypatch.setattr(claims, "project_root", lambda: None)  # installed from a wheel
    assert recorded("some-chapter") is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[]", "it holds a list, not a mapping"),
        ("{}", "it has no checksum"),
        ("\udcff", "it is not JSON in UTF-8"),
        ("[" * 100_000, "it is nested too deep|it is not JSON"),
        ('{"a": NaN, "sha256": ""}', "it is not JSON"),
        ('{"a": ' + "9" * 5000 + "}", "it is not JSON"),
        ('{"sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}',
         "chapter: field required"),
    ],
)  # fmt: skip
def test_a_damaged_record_is_left_out_in_a_sentence(keep, content, reason):
    path = keep("c", "full")
    keep("c", "gpu")
    path.write_bytes(content.encode(errors="surrogateescape"))
    found, (sentence,) = claims.recorded_ledgers(path.parents[3], "c")
    assert [r["profile"] for r in found] == ["gpu"]
    assert re.match(rf"book/recorded/full/c.json is not a ledger: ({reason})", sentence), sentence
    assert "\n" not in sentence and len(sentence) < 250
    assert sentence.replace("'", "&#x27;") in claims.table([make()], "c").data


def test_a_ledger_in_anothers_place_is_left_out(keep):
    path = keep("c", "full")
    for chapter, profile in (("d", "full"), ("c", "gpu")):
        other = path.parents[1] / profile / f"{chapter}.json"
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(path.read_bytes())
        found, faults = claims.recorded_ledgers(path.parents[3], chapter)
        assert other not in found and "holds chapter 'c' with profile 'full'" in faults[-1]


def test_a_verdict_that_does_not_follow_is_no_ledger(keep):
    ledger = claims.read_ledger(keep("c", "full", [make()]))
    line = ledger["claims"][0]
    line["verdict"] = "contradicted" if line["verdict"] != "contradicted" else "supported"
    with pytest.raises(ValueError, match=r"the verdict of .* must be"):
        claims.sealed_ledger(ledger)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"effect": "other words"}, True),
        ({"source": "another table"}, True),
        ({"statement": "Another statement."}, False),
        ({"unit": "error"}, False),
        ({"region": [0, 2.5]}, False),
        ({"definition": "the slope"}, False),
    ],
)
def test_a_digest_is_definition_unit_and_region(change, same):
    (line,) = claims.lines([make()])
    assert (claims.digest(line) == claims.digest({**line, **change})) is same


def test_a_definition_outlives_the_wording():
    (line,) = claims.lines([make()])
    line["definition"] = "loss with synthetic images over loss without"
    assert claims.digest(line) == claims.digest({**line, "statement": "Better English."})


def test_table(keep):
    """One row a claim: statement with its effect, and a column for every recorded run."""
    made = [make(), make((0.1, 0.5), estimate=0.3), make((math.nan, math.nan), estimate=math.nan)]
    keep("chapter", "full", [make((0.1, 0.5), estimate=0.3)])

    def cells(html):
        rows = [row.split("<td>")[1:] for row in html.data.split("<tr>")[2:]]
        return [[re.sub(r"<[^>]*>", " ", cell).split() for cell in row] for row in rows]

    plain, beside = cells(claims.table(made)), cells(claims.table(made, "chapter"))
    assert [len(row) for row in plain] == [3, 3, 3] and [len(row) for row in beside] == [4, 4, 4]
    # fmt: off
    assert [row[2] for row in plain] == [
        ["supported", "4.5", "[3,", "6]", "images"],
        ["contradicted", "0.3", "[0.1,", "0.5]", "images"],
        [
            "inconclusive", "not", "identified", "[not", "identified,", "not", "identified]",
            "images",
        ],
    ]
    # fmt: on
    assert all(row[3] == ["contradicted", "0.3", "[0.1,", "0.5]", "images"] for row in beside)
    assert "4.5 synthetic images do the work of one" in " ".join(plain[0][0])


def test_a_table_escapes_what_it_is_told():
    made = claim(
        "x", "<script>alert(1)</script>", source="", published="a < b", estimate=1.0,
        interval=(0.0, 2.0), region=(0.0, 1.0), unit="<b>", effect="<i>",
    )  # fmt: skip
    html = claims.table([made]).data
    assert "<script>" not in html and "<b>" not in html and "<i>" not in html


def test_a_recorded_verdict_on_another_definition_is_none(keep):
    """Its estimate and interval can still be read; its verdict is neither shown nor counted."""
    now = [claim("a", "The error falls.", source="", published="", estimate=0.9,
                 interval=(0.8, 0.95), region=(0.0, 1.0), unit=unit, effect="") for unit in
           ("× error", "× loss")]  # fmt: skip
    keep("c", "full", [now[1]])
    shown = claims.table(now[:1], "c").data
    assert shown.count("verdict-supported") == 1 and shown.count(claims.OTHER) == 1
    assert "0.9 [0.8, 0.95] × loss" in shown
    assert claims.OTHER not in claims.table(now[1:], "c").data
    (kept,) = claims.recordings("c")
    assert claims.comparable(claims.lines(now[:1]), kept) == ([], 1)
    assert claims.comparable(claims.lines(now[1:]), kept) == (kept["claims"], 0)
