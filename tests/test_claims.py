"""Verdicts follow from intervals alone; a ledger is plain JSON, written whole."""

import json
import math
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataworth import claims, claims_file
from dataworth.claims import Claim, Judged, judge, recorded
from dataworth.errors import UserError
from dataworth.stats import Estimate, estimate
from dataworth.verdicts import Rule, Verdict


def write(judged, **content):
    """The path of the ledger that is written."""
    claims.write(judged, **content)
    return claims.results_dir() / f"{judged.chapter}.json"


@pytest.mark.parametrize(
    ("estimate", "interval", "told"),
    [
        (-1.25, [-2.0, "inf"], "−1.25 [−2, ∞] points"),
        ("inf", [3.0, "inf"], "∞ [3, ∞] points"),
        ("inf", ["inf", "inf"], "∞ points, at both ends of the interval"),
        (2.0, [2.0, 2.0], "2 [2, 2] points"),
    ],
)
def test_an_estimate_is_told_with_its_interval(estimate, interval, told):
    line = {"estimate": estimate, "interval": interval, "unit": "points"}
    assert claims.estimated(line) == told


def make(interval=(3.0, 6.0), region=(1.0, math.inf), estimate: float = 4.5, **fields) -> Claim:
    given: dict = {
        "reason": "",
        "id": "worth", "statement": "Synthetic images are worth less than real ones",
        "source": "Fan et al. 2023, Section 4", "published": "more than one", "unit": "images",
        "effect": "4.5 synthetic images do the work of one", "definition": "",
    } | fields  # fmt: skip
    rule = Rule(region, given.get("no_effect"), given.get("matters"))
    verdict = rule.verdict(interval, given.get("unmeasurable", ""))
    return Claim(estimate=estimate, interval=interval, region=region, verdict=verdict, **given)


def judged(*lines: Claim, chapter="c", title="T") -> Judged:
    return Judged(chapter, title, list(lines))


STATED = """\
# The region stood before the runs.
worth:
  statement: Synthetic images are worth less than {what} ones
  source: Fan et al. 2023, Section 4
  published: more than {paper[least]:.1f}
  region: [1, inf]
  unit: images
  matters: 0.5  # half an image
  definition: synthetic images per real image
  effect: "{value:g} synthetic images [{low:g}, {high:g}] do the work of {what} ones, {n:,} of them"

costs:
  statement: It costs.
  source: Nobody 2020
  published: not given
  region: ["{smallest}", 7]
  unit: "{what} points"
  matters: null
  definition: the cost
  effect: at {n:,} images
"""
VALUES = {"what": "real", "paper": {"least": 1.04}, "n": 2000, "smallest": 2}


@pytest.fixture
def stated(tmp_path, monkeypatch):
    """A chapter with its claims file, in the working folder of its kernel."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(claims_file, "project_root", lambda: None)
    folder = tmp_path / "book" / "images"
    folder.mkdir(parents=True)
    (folder / "some_chapter.py").write_text("# %% [markdown]\n# # What is it worth?\n")
    path = folder / "some_chapter.claims.yaml"
    path.write_text(STATED)
    return path


def estimates(interval=(3.0, 6.0)):
    return {
        "costs": Estimate(3, 2.5, 6, np.empty(0)),
        "worth": Estimate(4.5, *interval, np.empty(0)),
    }


@pytest.mark.parametrize(
    ("interval", "verdict", "reason"),
    [
        ((3.0, 6.0), "supported", "The interval [3, 6] lies inside the claimed range [1, ∞]."),
        ((0.5, 6.0), "inconclusive", "The interval [0.5, 6] reaches beyond the claimed range"),
        ((0.1, 0.5), "contradicted", "The interval [0.1, 0.5] lies below the claimed range"),
        ((-math.inf, 0.5), "contradicted", "The interval [−∞, 0.5] lies below"),
        ((math.nan, 2.0), "inconclusive", "The runs do not identify this quantity."),
    ],
)
def test_a_chapter_judges_what_its_file_states(stated, interval, verdict, reason):
    found = judge("some-chapter", estimates(interval), **VALUES)
    assert (found.chapter, found.title) == ("some-chapter", "What is it worth?")
    worth, costs = found.claims  # in the file's order
    assert worth.verdict == verdict and worth.reason.startswith(reason)
    assert (worth.estimate, worth.region, worth.matters) == (4.5, (1.0, math.inf), 0.5)
    assert worth.interval == interval or math.isnan(worth.interval[0])
    assert worth.statement == "Synthetic images are worth less than real ones"
    assert worth.published == "more than 1.0" and worth.definition.startswith(
        "synthetic images per"
    )
    low, high = interval
    assert worth.effect == (
        f"4.5 synthetic images [{low:g}, {high:g}] do the work of real ones, 2,000 of them"
    )
    assert (costs.region, costs.unit, costs.matters) == ((2.0, 7.0), "real points", None)
    assert costs.verdict == "supported" and str(stated.parents[2]) not in repr(found)


def test_a_notebook_shows_the_verdicts_as_a_table(stated, monkeypatch):
    monkeypatch.setattr(claims, "project_root", lambda: None)
    found = judge("some-chapter", estimates(), **VALUES)
    assert found._repr_html_() == claims.table(found.claims, "some-chapter")
    assert repr(found) == (
        "some-chapter: 2 supported, 0 contradicted, 0 no effect, 0 inconclusive, "
        "0 not measurable here"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  unit: images\n", "", "line 2: claim 'worth' has no field 'unit'; it must be one line"),
        ("  unit: images", "  unti: images", "line 2: claim 'worth' has an unknown field 'unti'; "),
        ("[1, inf]", "[1]", "line 2: field 'region' of claim 'worth' is [1]; it must be two ends"),
        ("[1, inf]", "[2, 1]", "field 'region' of claim 'worth' is [2, 1]; it must be two ends in"),
        ("[1, inf]", "[inf, 1]", "field 'region' of claim 'worth' is ['inf', 1]"),
        ("[1, inf]", "[1, many]", "field 'region' of claim 'worth' is 'many'"),
        ("[1, inf]", "[1, true]", "field 'region' of claim 'worth' is True"),
        ("[1, inf]", "1", "field 'region' of claim 'worth' is 1; it must be two ends"),
        ("0.5", "-0.5", "field 'matters' of claim 'worth' is -0.5; it must be a positive"),
        ("0.5", "half", "field 'matters' of claim 'worth' is 'half'"),
        ("{n:,} of", "{n:, of", "field 'effect' of claim 'worth' is "),
        ("{what} ones\n", "{} ones\n", "field 'statement' of claim 'worth' is "),
        ("definition: the cost", "definition: of {n}", "line 12: field 'definition' of claim"),
        ("source: Nobody 2020", "source: 2020", "field 'source' of claim 'costs' is 2020; it"),
        ("source: Nobody 2020", "source: |\n    a\n    b", "field 'source' of claim 'costs' is "),
        ("costs:\n", "Costs it:\n", "line 12: the id 'Costs it' must be small letters"),
        ("costs:\n", "worth:\n", "line 12: 'worth' stands here and in line 2"),
        ("costs:\n", "free: 3\ncosts:\n", "line 12: claim 'free' must be a mapping of"),
        (STATED, "- worth\n", "must hold a mapping 'id: fields', one entry a claim"),
        (STATED, "", "must hold a mapping 'id: fields', one entry a claim"),
        ("0.5", "0.5\n  no_effect: 3", "field 'no_effect' of claim 'worth' is 3; it must be a num"),
        ("0.5", "null\n  no_effect: 1", "field 'no_effect' of claim 'worth' is 1; it must be a n"),
        ("0.5", "0.5\n  control: 3", "field 'control' of claim 'worth' is 3; it must be one line"),
        ("0.5", "0.5\n  control: none", "field 'control' of claim 'worth' is 'none'; it must be"),
        ("0.5", "0.5\n  control: '{low}'", "field 'control' of claim 'worth' is '{low}'; it must"),
        ("0.5", "0.5\n  control: '{what}'", "cannot be filled in: it quotes no number; it must be"),
        ("0.5", "0.5\n  units: 3", "field 'units' of claim 'worth' is 3; it must be a mapping of"),
        ("0.5", "0.5\n  units: {count: 3, of: classes}", "has no field 'units.least'"),
        ("0.5", "0.5\n  level: {value: x, of: y, chance: 1}", "field 'level.value' of claim 'wor"),
        ("0.5", "0.5\n  practice: {maybe: x}", "field 'practice' of claim 'worth' is "),
        ("[1, inf]", "[1, .inf]", "line 6: field 'worth': .inf is not a finite number"),
    ],
)  # fmt: skip
def test_a_faulty_claims_file_is_one_sentence(stated, old, new, said):
    assert old in STATED
    stated.write_text(STATED.replace(old, new, 1))
    with pytest.raises(UserError) as error:
        judge("some-chapter", estimates(), **VALUES)
    sentence = str(error.value)
    assert sentence.startswith("book/images/some_chapter.claims.yaml")
    assert said in sentence and "\n" not in sentence and len(sentence) < 400, sentence


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"costs": None}, "claim 'costs' has no estimate; claims.judge takes one"),
        ({"wrth": 1}, "claim 'wrth' is not stated there"),
        ({"-n": 1}, "line 2: field 'effect' of claim 'worth' asks for 'n', which claims."),
        ({"-smallest": 1}, "line 12: field 'region' of claim 'costs' asks for 'smallest'"),
        ({"+more": 1}, "claims.judge was given 'more', which no claim asks for; they ask"),
        ({"+n": "many"}, "field 'effect' of claim 'worth' cannot be filled in: "),
        ({"+paper": {}}, "field 'published' of claim 'worth' cannot be filled in: 'least'"),
        ({"+smallest": "few"}, "field 'region' of claim 'costs' cannot be filled in: "),
    ],
)  # fmt: skip
def test_a_call_that_does_not_fit_the_file_is_one_sentence(stated, change, said):
    given, values = estimates(), dict(VALUES)
    for name, value in change.items():
        if name[0] == "-":
            del values[name[1:]]
        elif name[0] == "+":
            values[name[1:]] = value
        elif value is None:
            del given[name]
        else:
            given[name] = given["worth"]
    with pytest.raises(UserError) as error:
        judge("some-chapter", given, **values)
    sentence = str(error.value)
    assert said in sentence and "\n" not in sentence and len(sentence) < 400, sentence


def test_what_a_claim_may_have_besides(stated):
    """Control, value of no effect and practice; units and levels without which nothing is said."""
    extra = """\
  no_effect: 1
  control: real images of the pool {pool:.1f} {what}, at random {spare}
  units: {count: "{classes}", of: classes, least: 12}
  level: {value: "{right[easy]}", of: right answers, chance: 25}
  settles: Other images would.
  practice:
    supported: buy {value:g}
    below: buy none
"""
    stated.write_text(STATED.replace("  # half an image\n", "\n" + extra))
    level = Estimate(40, 36, 44, np.empty(0))

    def worth(interval=(3.0, 6.0), **other):
        given = {"classes": 12, "right": {"easy": level}, "pool": 1.25, "spare": level, **other}
        return judge("some-chapter", estimates(interval), **VALUES, **given).claims[0]

    assert worth().control == "real images of the pool 1.2 real, at random 40 [36, 44]"
    assert worth(spare=3).controls == [
        {"estimate": 1.25, "interval": None},
        {"estimate": 3.0, "interval": None},
    ]
    (line,) = claims.lines([worth()])  # beside an estimate, plain numbers are labels
    assert line["controls"] == [{"estimate": 40.0, "interval": [36.0, 44.0]}]
    assert (worth().verdict, worth().practice) == ("supported", "buy 4.5")
    assert worth((0.1, 0.4)).practice == "buy none"
    assert (worth((0.9, 1.1)).verdict, worth((0.9, 1.1)).practice) == ("no effect", "")
    assert worth((0.9, 1.1)).reason == (
        "The interval [0.9, 1.1] lies within 0.5 of 1, which means no effect; less does not matter."
    )
    assert worth((0.5, 6.0)).reason.endswith(" Other images would.")
    few = worth(classes=10)
    seen = " As it is, an effect of 2.14 would be seen in 80 of 100 repetitions; 0.5 would matter."
    assert few.verdict == "not measurable here" and few.reason == few.unmeasurable
    said = "10 classes are fewer than the 12 that it takes to say anything."
    assert few.unmeasurable == said + seen
    low = worth(right={"easy": Estimate(26, 22, 30, np.empty(0))})
    assert low.unmeasurable == (
        "The level of right answers, 26 [22, 30], is not three standard errors above chance (25); "
        "it takes 31.1 to be." + seen
    )
    with pytest.raises(UserError, match="'level' of claim 'worth' cannot be filled in: 'easy'"):
        worth(right={})
    with pytest.raises(UserError, match="'units' of claim 'worth' asks for 'classes', which"):
        judge("some-chapter", estimates(), **VALUES, right={"easy": level}, pool=1.0, spare=1)


def test_a_study_may_say_that_its_design_cannot_decide(stated):
    given = estimates()
    given["costs"] = replace(given["costs"], unmeasurable="It takes 500 documents; here are 3.")
    _, costs = judge("some-chapter", given, **VALUES).claims
    assert costs.verdict == "not measurable here"
    assert costs.reason == costs.unmeasurable == "It takes 500 documents; here are 3."


def test_a_chapter_without_claims_file_is_one_sentence(stated):
    with pytest.raises(
        UserError, match=r"'other' has no claims: other\.claims\.yaml must lie beside"
    ):
        judge("other", {})


def test_a_downloaded_notebook_finds_the_file_beside_it(stated, tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("downloads")
    (folder / stated.name).write_bytes(stated.read_bytes())
    monkeypatch.chdir(folder)
    found = judge("some-chapter", estimates(), **VALUES)
    assert found.title == "some-chapter" and len(found.claims) == 2


CALL = 'claims.judge("some-chapter", {"worth": a, "costs": b}, what=1, paper=p, n=2, smallest=3)'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("", "", None),
        ('"costs": b', '"csts": b', "claim 'csts' is not stated there"),
        ('"costs": b', '"costs": b, "costs": c', "claim 'costs' is judged twice"),
        ('"costs": b', "", "claim 'costs' has no estimate"),
        (", n=2", "", "asks for 'n'"),
        (", n=2", ", **more", None),  # cannot be read off before it runs
        ('{"worth": a, "costs": b}', "found", None),
        (CALL, "1 + 1", None),
    ],
)
def test_a_call_is_held_against_the_file_before_anything_runs(stated, old, new, said):
    code = f'claims.judge("x", {{}})\n{CALL.replace(old, new)}'  # the last call counts
    code = code if new != "1 + 1" else "1 + 1"
    book = stated.parents[1]
    if said is None:
        assert len(claims_file.of_cells("some-chapter", code, book).claims) == 2
    else:
        with pytest.raises(UserError, match=said):
            claims_file.of_cells("some-chapter", code, book)
    assert claims_file.of_cells("other", "1 + 1", book) is None
    with pytest.raises(UserError, match="'other' has no claims"):
        claims_file.of_cells("other", CALL, book)


def test_history_says_since_when_a_region_stands(stated, monkeypatch):
    def git(*words, day):
        stamp = f"2026-01-{day:02d}T12:00:00+0000"
        env = os.environ | {"GIT_AUTHOR_DATE": stamp, "GIT_COMMITTER_DATE": stamp}
        who = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *words], check=True, env=env, capture_output=True)

    assert set(claims_file.read(stated).since().values()) == {"no history"}
    git("init", "-q", ".", day=1)
    for day, old, new in (
        (1, "", ""),
        (2, "It costs.", "It costs much."),
        (3, "[1, inf]", "[2, inf]"),
    ):
        stated.write_text(stated.read_text().replace(old, new))
        git("add", ".", day=day)
        git("commit", "-qm", "x", day=day)
    since = claims_file.read(stated).since()
    assert since["costs"].startswith("2026-01-01 (") and since["worth"].startswith("2026-01-03 (")
    stated.write_text(stated.read_text().replace('["{smallest}", 7]', '["{smallest}", 8]'))
    assert claims_file.read(stated).since() == since | {"costs": "not committed"}


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
    path = write(
        judged(made, chapter="some-chapter", title="A title"),
        evidence=evidence,
        provenance={"torch": "2"},
    )
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
        path = write(judged(chapter="any"), evidence={"value": value}, provenance={})

    def plain(x):
        if isinstance(x, float) and not math.isfinite(x):
            return None if math.isnan(x) else f"{x}"
        if isinstance(x, dict):
            return {k: plain(v) for k, v in x.items()}
        return [plain(v) for v in x] if isinstance(x, list) else x

    assert strict(path)["evidence"] == {"value": plain(value)}


def test_without_a_notebook_the_verdicts_are_printed(results, capsys, monkeypatch):
    path = write(judged(make()), evidence={}, provenance={})
    *verdicts, where = capsys.readouterr().out.splitlines()
    (line,) = claims.lines([make()])
    assert verdicts == [f"{line['verdict']}: {line['statement']} {claims.estimated(line)}"]
    assert where == f"results: {path}"
    monkeypatch.setattr("dataworth.display.shell", object)
    assert claims.write(judged(make()), evidence={}, provenance={}) is None  # no path in a notebook
    assert capsys.readouterr().out == ""


def test_a_ledger_that_cannot_be_written_leaves_the_old_one(results):
    path = write(judged(make(), title="Old"), evidence={}, provenance={})
    with pytest.raises(TypeError):
        write(judged(make(), title="New"), evidence={"curve": np.arange(3)}, provenance={})
    assert strict(path)["title"] == "Old"
    assert [file.name for file in results.iterdir()] == ["c.json"]


def test_a_ledger_is_replaced_at_once(results, monkeypatch):
    """Whoever reads while a ledger is written sees the old one or the new one, whole."""
    path = write(judged(make(), title="Old"), evidence={}, provenance={})
    seen = []
    replace = type(path).replace

    def watch(temporary, target):
        seen.append((strict(path)["title"], strict(temporary)["title"]))
        return replace(temporary, target)

    monkeypatch.setattr(type(path), "replace", watch)
    write(judged(make(), title="New"), evidence={}, provenance={})
    assert seen == [("Old", "New")] and strict(path)["title"] == "New"
    assert [file.name for file in results.iterdir()] == ["c.json"]


def test_profile_is_recorded(results, monkeypatch):
    monkeypatch.setenv("DATAWORTH_PROFILE", "smoke")
    assert strict(write(judged(), evidence={}, provenance={}))["profile"] == "smoke"


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
        path = write(Judged(chapter, profile, list(lines)), evidence=evidence or {}, provenance={})
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
    assert sentence.replace("'", "&#x27;") in claims.table([make()], "c")


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
        ({"statement": "Better English."}, True),
        ({"matters": 3.0}, True),
        ({"region": [0, 2.5]}, True),  # judged again
        ({"unit": "error"}, False),
        ({"definition": "the slope"}, False),
    ],
)
def test_a_digest_is_definition_and_unit(change, same):
    (line,) = claims.lines([make(definition="loss with synthetic images over loss without")])
    other = {**line, **change}
    assert (claims.digest(line) == claims.digest(other)) is same
    assert claims.alike(line, other) is claims.alike(other, line) is same


@pytest.mark.parametrize("without", [{}, {"definition": ""}])
@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"effect": "other words"}, True),
        ({"statement": "Better English."}, False),
        ({"unit": "error"}, False),
        ({"region": [0, 2.5]}, False),
    ],
)
def test_a_record_without_definition_is_compared_by_its_statement(without, change, same):
    """Those that were made before claims had definitions; theirs was the statement."""
    (line,) = claims.lines([make(definition="the slope")])
    old = {**{k: v for k, v in line.items() if k != "definition"}, **without, **change}
    assert claims.alike(line, old) is claims.alike(old, line) is same
    assert claims.comparable([line], {"claims": [old]}) == (([old], 0) if same else ([], 1))
    assert (claims.OTHER in claims.standing(line, old)) is not same


def test_table(keep):
    """One row a claim: statement with its effect, and a column for every recorded run."""
    made = [make(), make((0.1, 0.5), estimate=0.3), make((math.nan, math.nan), estimate=math.nan)]
    keep("chapter", "full", [make((0.1, 0.5), estimate=0.3)])

    def cells(html):
        rows = [re.split(r"<td[^>]*>", row)[1:] for row in html.split("<tr>")[2:]]
        return [[re.sub(r"<[^>]*>", " ", cell).split() for cell in row] for row in rows]

    plain, beside = cells(claims.table(made, "none")), cells(claims.table(made, "chapter"))
    assert [len(row) for row in plain] == [3, 3, 3] and [len(row) for row in beside] == [4, 4, 4]
    # fmt: off
    assert [row[2] for row in plain] == [
        ["supported", "4.5", "[3,", "6]", "images"],
        [
            "contradicted:", "below", "the", "claimed", "range", "0.3", "[0.1,", "0.5]", "images",
        ],
        [
            "inconclusive", "not", "identified", "[not", "identified,", "not", "identified]",
            "images",
        ],
    ]
    # fmt: on
    assert all(row[3] == plain[1][2] for row in beside)
    assert "4.5 synthetic images do the work of one" in " ".join(plain[0][0])


def test_a_table_shows_the_control_and_what_would_settle_it():
    open_ = make((0.5, 6.0), reason="Four times as many runs.", control="random drop: 0.7 < 1")
    shut = make(reason="It lies inside.")
    html = claims.table([open_, shut], "none")
    assert "random drop: 0.7 &lt; 1" in html and "Four times as many runs." in html
    assert "It lies inside." not in html  # the interval and the region say it
    assert html.count('data-head="published"') == 2  # for screens that stack the cells


@pytest.mark.parametrize(
    ("interval", "fields", "said", "css"),
    [
        ((3.0, 6.0), {}, "supported", "supported"),
        ((0.2, 0.9), {}, "contradicted: below the claimed range", "contradicted"),
        ((11.0, math.inf), {}, "contradicted: above the claimed range", "contradicted"),
        ((0.9, 1.2), {"no_effect": 1.0, "matters": 0.25}, "no effect", "no-effect"),
        ((0.9, 4.0), {}, "inconclusive", "inconclusive"),
        ((3.0, 6.0), {"unmeasurable": "Few."}, "not measurable here", "not-measurable-here"),
    ],
)
def test_a_verdict_is_told_with_its_direction(interval, fields, said, css):
    (line,) = claims.lines([make(interval, (1.0, 10.0), 2.0, **fields)])
    assert claims.told(line) == said
    assert claims.badge(line) == f'<span class="verdict verdict-{css}">{said}</span>'


def test_a_table_escapes_what_it_is_told():
    made = make(statement="<script>alert(1)</script>", published="a < b", unit="<b>", effect="<i>")
    html = claims.table([made], "none")
    assert "<script>" not in html and "<b>" not in html and "<i>" not in html


def test_a_recorded_verdict_on_another_definition_is_none(keep):
    """Its estimate and interval can still be read; its verdict is neither shown nor counted."""
    now = [make((0.8, 0.95), (0.0, 1.0), 0.9, unit=unit) for unit in ("× error", "× loss")]
    keep("c", "full", [now[1]])
    shown = claims.table(now[:1], "c")
    assert shown.count("verdict-supported") == 1 and shown.count(claims.OTHER) == 1
    assert "0.9 [0.8, 0.95] × loss" in shown
    assert claims.OTHER not in claims.table(now[1:], "c")
    (kept,) = claims.recordings("c")
    assert claims.comparable(claims.lines(now[:1]), kept) == ([], 1)
    assert claims.comparable(claims.lines(now[1:]), kept) == (kept["claims"], 0)


def test_a_record_is_judged_again_by_todays_region(keep):
    """A changed region, or smallest effect that matters, asks for no new run."""
    keep("c", "full", [make((0.8, 0.95), (0.0, 1.0), 0.9, definition="the ratio")])
    (kept,) = claims.recordings("c")
    for fields, region, verdict in (
        ({}, (0.0, 1.0), "supported"),
        ({}, (0.0, 0.9), "inconclusive"),
        ({}, (0.0, 0.5), "contradicted"),
        ({"no_effect": 1.0, "matters": 0.3}, (0.0, 1.0), "no effect"),
    ):
        now = make((0.7, 0.99), region, 0.9, definition="the ratio", **fields)
        (today,), other = claims.comparable(claims.lines([now]), kept)
        assert (today["verdict"], other) == (verdict, 0)
        assert today["interval"] == [0.8, 0.95] and claims.standing(
            claims.lines([now])[0], kept["claims"][0]
        ) == claims.badge(today)


def test_a_line_of_three_verdicts_is_still_a_ledger(keep):
    """As recorded before there were five: no word of draws, controls or values of no effect."""
    path = keep("c", "full", [make((0.8, 0.95), (0.0, 1.0), 0.9, matters=0.3)])
    ledger = claims.read_ledger(path)
    new = ("no_effect", "control", "controls", "unmeasurable", "practice", "draws", "matters")
    old = [{k: v for k, v in line.items() if k not in new} for line in ledger["claims"]]
    path.write_text(claims.sealed_ledger({**ledger, "claims": old}))
    (line,) = claims.read_ledger(path)["claims"]
    assert line["verdict"] == "supported" and "draws" not in line
    assert claims.spread(line).below(0.5) < 1e-6  # by its interval alone


def independent_verdict(line):
    """The five verdicts by other code: numpy, and the record alone."""
    value = {"inf": np.inf, "-inf": -np.inf, None: np.nan}
    low, high = (value.get(end, end) for end in line["interval"])
    first, last = (value.get(end, end) for end in line["region"])
    if line.get("draws"):
        levels = np.linspace(0, 1, 401)
        drawn = [value.get(q, q) for q in line["draws"]["quantiles"]]
        ends = [drawn[np.argmin(abs(levels - at))] for at in (0.025, 0.975)]
        np.testing.assert_allclose(ends, (low, high), rtol=1e-5, atol=1e-12)
    if line.get("unmeasurable"):
        return "not measurable here"
    if np.isnan(low + high) and not np.isinf([low, high]).any():
        return "inconclusive"
    if line.get("no_effect") is not None:
        far = np.abs(np.array([low, high]) - line["no_effect"])
        if (far <= line["matters"]).all():
            return "no effect"
    inside = np.array([first <= low, high <= last])
    if inside.all():
        return "supported"
    return "contradicted" if high < first or last < low else "inconclusive"


def test_every_verdict_is_recomputed_from_the_record_alone(stated, keep):
    """By independent code, for the records of this book and for one with all five verdicts."""
    text = STATED.replace("  matters: null\n", "  matters: 1\n  no_effect: 2\n")
    stated.write_text(text)
    random = np.random.default_rng(0)
    paths = sorted((Path(__file__).parents[1] / "book" / "recorded").glob("*/*.json"))
    found = set()
    for number, (middle, width) in enumerate(
        [(4, 0.3), (9, 0.3), (6, 2), (2.5, 0.1), (0, 0.2), (math.nan, 1)]
    ):
        e = estimate(middle, random.normal(middle, width, 1000))
        pair = {"costs": e, "worth": replace(e, unmeasurable="Few.") if number % 2 else e}
        judged_ = judge("some-chapter", pair, **VALUES)
        paths.append(keep(f"made-{number}", "full", judged_.claims))
    for path in paths:
        for line in json.loads(path.read_text())["claims"]:
            assert independent_verdict(line) == line["verdict"], (path.name, line["id"])
            found |= {line["verdict"]} if line.get("draws") else set()
    assert found == {verdict.value for verdict in Verdict}


@pytest.mark.parametrize("chapter", ["data-age", "data-characteristics", "proxy-validity"])
def test_every_claim_names_its_control(chapter):
    stated = claims_file.of(chapter, Path(__file__).parents[1] / "book").claims
    assert stated and not [id for id, claim in stated.items() if not claim.control]
