"""What is kept for reading is found whole, or refused in a sentence that says how to get it."""

from hashlib import sha256

import pytest

from dataworth.book import reading
from dataworth.book.layout import Layout, write_atomic
from dataworth.errors import UserError
from dataworth.sealed import seal

ABOUT = {
    "runs": 12, "older": 0, "finished": "2026-11-27T17:00:00+00:00", "commit": "abc1234",
    "processor": "A processor",
}  # fmt: skip


def about(data, **changes):
    return {**ABOUT, "sha256": sha256(data).hexdigest(), "bytes": len(data), **changes}


@pytest.fixture
def layout(tmp_path):
    made = Layout(tmp_path, "quick")
    kept = {"mixing": about(b"runs"), "fitting": about(b"", runs=0)}
    write_atomic(reading.folder(made) / "mixing.zip", b"runs")
    write_atomic(reading.folder(made) / "index.json", seal({"chapters": kept}, reading.INDEX))
    return made


def test_a_chapter_is_given_its_file(layout):
    found = reading.open_reading(layout)
    assert found.reads and not layout.reads
    assert found.given("mixing") == layout.book / "kept" / "quick" / "mixing.zip"
    assert found.given("fitting") is None and found.origin("fitting") == ""
    assert found.build != layout.build
    assert found.origin("mixing") == (
        "Analysed on 12 runs that were kept on 2026-11-27 by the code of commit abc1234 from A "
        "processor: nothing was trained for this page."
    )


def test_runs_of_earlier_code_are_named(layout):
    kept = {"mixing": about(b"runs", older=5)}
    write_atomic(reading.folder(layout) / "index.json", seal({"chapters": kept}, reading.INDEX))
    told = reading.open_reading(layout).origin("mixing")
    assert "12 runs (5 of them computed by earlier code) that" in told


def test_what_is_missing_or_changed_is_refused(layout):
    found = reading.open_reading(layout)
    with pytest.raises(UserError, match=r"Nothing is kept of .*'quality'.*record quality --read"):
        found.given("quality")
    write_atomic(reading.folder(layout) / "mixing.zip", b"other")
    with pytest.raises(UserError, match=r"mixing.zip is not the file .* record mixing --read"):
        found.given("mixing")
    index = reading.folder(layout) / "index.json"
    index.write_text(index.read_text().replace("abc1234", "abc1235"))
    with pytest.raises(UserError, match=r"index.json is damaged: it has changed"):
        reading.open_reading(layout)
    index.unlink()
    with pytest.raises(UserError, match=r"Nothing is kept of profile 'quick'.*make book"):
        reading.open_reading(layout)
