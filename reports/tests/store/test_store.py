"""A store gives runs back as their files held them, and finds them by id, version and cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from kl_reports.files import RunFileError
from kl_reports.runfile.file import Writer, read, write
from kl_reports.runfile.lines import encode
from kl_reports.runfile.records import Column, Header, Result, Run, Verdict
from kl_reports.store.database import StoreError
from kl_reports.store.store import Store
from kl_reports_testkit.strategies import runs

KL_DIV = "torch.nn.functional.kl_div"


def torch(
    version: str,
    verdict: Verdict = Verdict.PASS,
    *,
    started: str = "2026-01-02T03:04:05+00:00",
    revision: int = 1,
    problems: str = "aa",
    package: str = "torch",
) -> Run:
    """Return a run of one implementation in one version, judged so in both of its cells."""
    column = Column(KL_DIV, "torch", version, "cpu", "float32", "eager")
    names = ("values/sum", "signs/self")
    header = Header(
        started=started,
        suite="0.1.0",
        profile="quick",
        seed=7,
        environment={"": {"python": "3.11.7", "torch": "2.12.0"}},
        requirements={name: {"revision": revision, "problems": problems} for name in names},
        implementations={KL_DIV: {"framework": "torch", "package": package}},
        columns={column.key: column},
        planned=tuple(f"{name}@{column.key}" for name in names),
    )
    detail = "gives NaN" if verdict is Verdict.FAIL else ""
    return Run(header, tuple(Result(name, revision, column.key, verdict, detail) for name in names), started)


Kept = Callable[..., str]


@pytest.fixture
def keep(tmp_path: Path, place: str) -> Kept:
    """A function that writes a run file and ingests it, and returns its id."""

    def kept(run: Run) -> str:
        path = tmp_path / "run.jsonl.gz"
        write(path, run)
        with Store(place, make=True) as store:
            return store.add(path)[0]

    return kept


# One store takes every example: what it holds already is part of the question. A server answers when it can.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(run=runs())
def test_a_run_survives_the_store(run: Run, keep: Kept, place: str, tmp_path: Path) -> None:
    """What the store gives is what the run file held, to the last bit of a NaN."""
    record = keep(run)
    held = read(tmp_path / "run.jsonl.gz")
    with Store(place) as store:
        given_back = store.run(record)
    assert encode(given_back.header) == encode(held.header)
    assert [*map(encode, given_back.results)] == [*map(encode, held.results)]
    assert (given_back.finished, given_back.remarks) == (held.finished, held.remarks)


def test_a_whole_run_is_equal_when_given_back(run: Run, hostile_run: Run, keep: Kept, place: str) -> None:
    """Every field of a realistic run and of a hostile one comes back."""
    ids = keep(run), keep(hostile_run)
    with Store(place) as store:
        assert store.run(ids[0]) == run
        assert str(store.run(ids[1])) == str(hostile_run)


def test_a_run_that_was_cut_off_is_kept_as_far_as_it_came(run: Run, place: str, tmp_path: Path) -> None:
    """Cells that were never reached are MISSING in the store, too, and it says that the run was cut off."""
    with Writer(tmp_path / "cut.jsonl.gz") as writer:
        writer.header(run.header)
        writer.result(run.results[0])
    with Store(place, make=True) as store:
        record, _ = store.add(tmp_path / "cut.jsonl.gz")
        assert store.run(record) == read(tmp_path / "cut.jsonl.gz")
        assert [entry.finished for entry in store.runs()] == [None]


def test_ingesting_twice_changes_nothing(run: Run, place: str, tmp_path: Path) -> None:
    """A run has one place in a store, whatever its file is called."""
    for name in ("one.jsonl.gz", "other.jsonl.gz"):
        write(tmp_path / name, run)
    with Store(place, make=True) as store:
        one, other = (store.add(tmp_path / name) for name in ("one.jsonl.gz", "other.jsonl.gz"))
        assert (one[0], one[1], other[1]) == (other[0], True, False)
        assert [entry.path for entry in store.runs()] == [str(tmp_path / "one.jsonl.gz")]


def test_a_run_is_found_by_the_version_its_columns_bear(keep: Kept, place: str) -> None:
    """Versions are compared as PEP 440 says; a framework's is found where the columns bear a package's."""
    ids = {version: keep(torch(version)) for version in ("2.9.1", "2.12.0+cpu", "2.13.0.dev20260801")}
    ids["metrics"] = keep(torch("1.9.0", package="torchmetrics"))

    def found(name: str) -> list[str]:
        with Store(place) as store:
            return [entry.record for entry in store.find_runs(name)]

    assert found("torch==2.12") == [ids["metrics"], ids["2.12.0+cpu"]]
    assert found("torch<2.12") == [ids["2.9.1"]]
    assert found("Torch>2.12") == [ids["2.13.0.dev20260801"]]
    assert found("torchmetrics==1.9") == [ids["metrics"]]
    assert found("torch") == [*reversed(ids.values())]


def test_the_newest_run_is_the_one_ingested_last(keep: Kept, place: str) -> None:
    """A clock that jumps back does not make a run older than those before it."""
    first = keep(torch("2.12.0", started="2026-06-01T00:00:00+00:00"))
    last = keep(torch("2.12.0", started="1970-01-01T00:00:00+00:00"))
    with Store(place) as store:
        assert [entry.record for entry in store.find_runs("torch==2.12")] == [last, first]
        assert [entry.record for entry in store.find_runs(first[:8])] == [first]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torch==2.99", "unknown version of torch '==2.99'; known: 2.9.0, 2.12.0"),
        ("jaxx==1", "unknown package 'jaxx'; did you mean 'jax'? known: torch, jax"),
        ("ffffffff", "unknown run 'ffffffff'; known: "),
        ("torch 2.12", "'torch 2.12' asks for no version; one is asked for as in torch==2.12"),
    ],
)
def test_an_unknown_name_is_answered_by_the_known_ones(keep: Kept, place: str, name: str, words: str) -> None:
    """Whoever asks for a run that is not there is told which are."""
    keep(torch("2.12.0"))
    keep(torch("2.9.0"))
    keep(torch("0.4.30", package="jax"))
    with Store(place) as store, pytest.raises(StoreError) as raised:
        store.find_runs(name)
    assert words in str(raised.value)


def test_the_start_of_two_runs_names_none(keep: Kept, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters that two ids begin with are not enough."""
    for number, version in enumerate(("2.11.0", "2.12.0")):
        monkeypatch.setattr("kl_reports.store.store.read_with_digest", _identified(f"abcd{number}" * 12))
        keep(torch(version))
    with Store(place) as store, pytest.raises(StoreError, match="the start of 2 runs"):
        store.run("abcd")


def _identified(record: str) -> Callable[[Path], tuple[str, Run]]:
    return lambda path: (record, read(path))


def test_a_history_goes_by_version_and_says_since_when(keep: Kept, place: str) -> None:
    """The order is that of versions, then of ingestion; of one version the last judgement counts."""
    keep(torch("2.12.0", Verdict.FAIL))
    keep(torch("2.9.0"))
    keep(torch("2.13.0", Verdict.EXPECTED, started="1970-01-01T00:00:00+00:00"))
    keep(torch("2.11.0", Verdict.FAIL))
    keep(torch("2.11.0", started="1970-01-01T00:00:00+00:00"))
    keep(torch("2.14.0"))
    with Store(place) as store:
        (history,) = store.history("values/sum", implementation=KL_DIV, dtype="float32")
    told = [(each.column.version, each.verdict.name) for each in history.verdicts]
    assert told == [
        ("2.9.0", "PASS"),
        ("2.11.0", "FAIL"),
        ("2.11.0", "PASS"),
        ("2.12.0", "FAIL"),
        ("2.13.0", "EXPECTED"),
        ("2.14.0", "PASS"),
    ]
    assert history.first_failed is not None
    assert history.first_failed.column.version == "2.12.0"
    assert history.sentence == (
        "good in 2.9.0; broken between 2.11.0 and 2.12.0; fixed between 2.13.0 and 2.14.0"
    )


def test_a_version_that_was_not_judged_breaks_nothing(keep: Kept, place: str) -> None:
    """Between two versions that hold, one that never ran is no change."""
    for version, verdict in (("1", Verdict.PASS), ("2", Verdict.MISSING), ("3", Verdict.PASS)):
        keep(torch(version, verdict))
    with Store(place) as store:
        (history,) = store.history("values/sum")
    assert (len(history.verdicts), history.transitions, history.first_failed) == (3, (), None)
    assert history.sentence == "good in 1, and in all after it"


def test_only_like_is_compared_with_like(keep: Kept, place: str) -> None:
    """A requirement of another revision, or asked on other problems, has a history of its own."""
    keep(torch("2.11.0"))
    keep(torch("2.12.0", Verdict.FAIL, revision=2))
    keep(torch("2.13.0", Verdict.FAIL, problems="bb"))
    with Store(place) as store:
        assert [each.transitions for each in store.history("values/sum")] == [(), (), ()]
        with pytest.raises(StoreError, match="unknown requirement 'values/sun'; did you mean 'values/sum'"):
            store.history("values/sun")


def test_the_cells_of_a_version_are_those_judged_last(keep: Kept, place: str) -> None:
    """Of several runs of a version each cell is told once, as the last run judged it."""
    keep(torch("2.11.0"))
    keep(torch("2.12.0"))
    last = keep(torch("2.12.0", Verdict.FAIL))
    with Store(place) as store:
        cells = store.cells("torch==2.12")
        assert cells == store.cells(last)
    assert [(each.requirement, each.verdict, each.detail) for each in cells] == [
        ("values/sum", Verdict.FAIL, "gives NaN"),
        ("signs/self", Verdict.FAIL, "gives NaN"),
    ]


def test_what_is_swept_is_needed_by_nobody(
    keep: Kept, place: str, make_run: Callable[..., Run], tmp_path: Path
) -> None:
    """Forgetting older runs leaves the newest of each kind whole, and gives the room of the others back."""
    keep(make_run(("cpu",)))
    keep(make_run(("cpu",), calm=True))
    other = keep(torch("2.12.0"))
    full = (tmp_path / "store.db").stat().st_size if (tmp_path / "store.db").exists() else None
    with Store(place) as store:
        (gone,) = store.delete_older(1)
        assert store.delete_unused() > 0
        assert store.delete_unused() == 0
        left = [entry.record for entry in store.runs()]
        assert gone.record not in left
        assert store.run(left[0]) == make_run(("cpu",), calm=True)
        assert store.run(other) == torch("2.12.0")
    if full is not None:
        assert (tmp_path / "store.db").stat().st_size < full


def test_a_number_too_large_is_refused_whole(place: str, tmp_path: Path) -> None:
    """A run that no database can hold leaves nothing behind."""
    run = torch("2.12.0")
    results = (run.results[0], replace(run.results[1], problems=2**70))
    write(tmp_path / "large.jsonl.gz", replace(run, results=results))
    with Store(place, make=True) as store:
        with pytest.raises(StoreError):
            store.add(tmp_path / "large.jsonl.gz")
        assert store.runs() == []


def test_what_is_no_run_file_is_not_ingested(place: str, tmp_path: Path) -> None:
    """The reader's own message names the file."""
    (tmp_path / "text.jsonl.gz").write_text("no run file", encoding="utf-8")
    with Store(place, make=True) as store, pytest.raises(RunFileError, match=r"text\.jsonl\.gz"):
        store.add(tmp_path / "text.jsonl.gz")
