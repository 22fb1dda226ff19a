"""A store returns runs as their files have them, and finds them by id, version and cell."""

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
    """Return a run of one implementation in one version, with one verdict in both cells."""
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


Ingest = Callable[..., str]


@pytest.fixture
def ingest(tmp_path: Path, place: str) -> Ingest:
    """A function that writes and ingests a run file and returns its full id."""

    def ingest_run(run: Run) -> str:
        path = tmp_path / "run.jsonl.gz"
        write(path, run)
        with Store(place, make=True) as store:
            return store.add(path)[0]

    return ingest_run


# All examples share one store, whose content is part of the test. A server may be slow, so there is no deadline.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(run=runs())
def test_a_run_survives_the_store(run: Run, ingest: Ingest, place: str, tmp_path: Path) -> None:
    """The run from the store equals the run from the file, to the last bit of a NaN."""
    record = ingest(run)
    expected = read(tmp_path / "run.jsonl.gz")
    with Store(place) as store:
        stored = store.run(record)
    assert encode(stored.header) == encode(expected.header)
    assert [*map(encode, stored.results)] == [*map(encode, expected.results)]
    assert (stored.finished, stored.remarks) == (expected.finished, expected.remarks)


def test_a_whole_run_is_equal_when_read_back(run: Run, hostile_run: Run, ingest: Ingest, place: str) -> None:
    """Every field of a realistic run and of a hostile one is stored and read."""
    ids = ingest(run), ingest(hostile_run)
    with Store(place) as store:
        assert store.run(ids[0]) == run
        assert str(store.run(ids[1])) == str(hostile_run)


def test_a_run_that_was_cut_off_is_stored_as_such(run: Run, place: str, tmp_path: Path) -> None:
    """Cells that were not reached are MISSING in the store, too, and the run has no finish time."""
    with Writer(tmp_path / "cut.jsonl.gz") as writer:
        writer.header(run.header)
        writer.result(run.results[0])
    with Store(place, make=True) as store:
        record, _ = store.add(tmp_path / "cut.jsonl.gz")
        assert store.run(record) == read(tmp_path / "cut.jsonl.gz")
        assert [entry.finished for entry in store.runs()] == [None]


def test_ingesting_twice_changes_nothing(run: Run, place: str, tmp_path: Path) -> None:
    """A run is stored once, whatever the name of its file."""
    for name in ("one.jsonl.gz", "other.jsonl.gz"):
        write(tmp_path / name, run)
    with Store(place, make=True) as store:
        one, other = (store.add(tmp_path / name) for name in ("one.jsonl.gz", "other.jsonl.gz"))
        assert (one[0], one[1], other[1]) == (other[0], True, False)
        assert [entry.path for entry in store.runs()] == [str(tmp_path / "one.jsonl.gz")]


def test_a_run_is_found_by_the_versions_of_its_columns(ingest: Ingest, place: str) -> None:
    """Versions are compared by PEP 440; columns with the version of a package are found by their framework's, too."""
    ids = {version: ingest(torch(version)) for version in ("2.9.1", "2.12.0+cpu", "2.13.0.dev20260801")}
    ids["metrics"] = ingest(torch("1.9.0", package="torchmetrics"))

    def found(name: str) -> list[str]:
        with Store(place) as store:
            return [entry.record for entry in store.find_runs(name)]

    assert found("torch==2.12") == [ids["metrics"], ids["2.12.0+cpu"]]
    assert found("torch<2.12") == [ids["2.9.1"]]
    assert found("Torch>2.12") == [ids["2.13.0.dev20260801"]]
    assert found("torchmetrics==1.9") == [ids["metrics"]]
    assert found("torch") == [*reversed(ids.values())]


def test_the_newest_run_is_the_one_ingested_last(ingest: Ingest, place: str) -> None:
    """A clock that is set back does not make a run older than earlier ones."""
    first = ingest(torch("2.12.0", started="2026-06-01T00:00:00+00:00"))
    last = ingest(torch("2.12.0", started="1970-01-01T00:00:00+00:00"))
    with Store(place) as store:
        assert [entry.record for entry in store.find_runs("torch==2.12")] == [last, first]
        assert [entry.record for entry in store.find_runs(first[:8])] == [first]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torch==2.99", "unknown version of torch '==2.99'; known: 2.9.0, 2.12.0"),
        ("jaxx==1", "unknown package 'jaxx'; did you mean 'jax'? known: torch, jax"),
        ("ffffffff", "unknown run 'ffffffff'; known: "),
        ("torch 2.12", "'torch 2.12' is not a version requirement; example: torch==2.12"),
    ],
)
def test_the_message_for_an_unknown_name_has_the_known_names(
    ingest: Ingest, place: str, name: str, message: str
) -> None:
    """The message has the unknown name, the nearest known name and all known names."""
    ingest(torch("2.12.0"))
    ingest(torch("2.9.0"))
    ingest(torch("0.4.30", package="jax"))
    with Store(place) as store, pytest.raises(StoreError) as raised:
        store.find_runs(name)
    assert message in str(raised.value)


def test_the_start_of_two_ids_is_ambiguous(ingest: Ingest, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits that two ids start with do not identify a run."""
    for number, version in enumerate(("2.11.0", "2.12.0")):
        monkeypatch.setattr("kl_reports.store.store.read_with_digest", _identified(f"abcd{number}" * 12))
        ingest(torch(version))
    with Store(place) as store, pytest.raises(StoreError, match="the start of 2 run ids"):
        store.run("abcd")


def _identified(record: str) -> Callable[[Path], tuple[str, Run]]:
    return lambda path: (record, read(path))


def test_a_history_is_ordered_by_version(ingest: Ingest, place: str) -> None:
    """The order is that of versions, then of ingestion; of one version the latest result counts."""
    ingest(torch("2.12.0", Verdict.FAIL))
    ingest(torch("2.9.0"))
    ingest(torch("2.13.0", Verdict.EXPECTED, started="1970-01-01T00:00:00+00:00"))
    ingest(torch("2.11.0", Verdict.FAIL))
    ingest(torch("2.11.0", started="1970-01-01T00:00:00+00:00"))
    ingest(torch("2.14.0"))
    with Store(place) as store:
        (history,) = store.history("values/sum", implementation=KL_DIV, dtype="float32")
    found = " ".join(f"{each.column.version} {each.verdict.name}" for each in history.verdicts)
    assert found == "2.9.0 PASS 2.11.0 FAIL 2.11.0 PASS 2.12.0 FAIL 2.13.0 EXPECTED 2.14.0 PASS"
    assert history.first_failed is not None
    assert history.first_failed.column.version == "2.12.0"
    assert history.sentence == ("passed in 2.9.0; regressed between 2.11.0 and 2.12.0; fixed between 2.13.0 and 2.14.0")


def test_a_version_that_was_not_judged_is_no_transition(ingest: Ingest, place: str) -> None:
    """A version that was not run, between two that pass, is no change."""
    for version, verdict in (("1", Verdict.PASS), ("2", Verdict.MISSING), ("3", Verdict.PASS)):
        ingest(torch(version, verdict))
    with Store(place) as store:
        (history,) = store.history("values/sum")
    assert (len(history.verdicts), history.transitions, history.first_failed) == (3, (), None)
    assert history.sentence == "passed in 1, and in all later versions"


def test_a_history_has_comparable_results_only(ingest: Ingest, place: str) -> None:
    """Another revision of a requirement, or another problem set, has its own history."""
    ingest(torch("2.11.0"))
    ingest(torch("2.12.0", Verdict.FAIL, revision=2))
    ingest(torch("2.13.0", Verdict.FAIL, problems="bb"))
    with Store(place) as store:
        assert [each.transitions for each in store.history("values/sum")] == [(), (), ()]
        with pytest.raises(StoreError, match="unknown requirement 'values/sun'; did you mean 'values/sum'"):
            store.history("values/sun")


def test_the_cells_of_a_version_have_their_latest_results(ingest: Ingest, place: str) -> None:
    """Each cell of several runs of a version is returned once, from the run ingested last."""
    ingest(torch("2.11.0"))
    ingest(torch("2.12.0"))
    last = ingest(torch("2.12.0", Verdict.FAIL))
    with Store(place) as store:
        cells = store.cells("torch==2.12")
        assert cells == store.cells(last)
    assert [(each.requirement, each.verdict, each.detail) for each in cells] == [
        ("values/sum", Verdict.FAIL, "gives NaN"),
        ("signs/self", Verdict.FAIL, "gives NaN"),
    ]


def test_deleting_unused_rows_changes_no_run(
    ingest: Ingest, place: str, make_run: Callable[..., Run], tmp_path: Path
) -> None:
    """Deleting older runs leaves the newest of each kind complete and makes the file smaller."""
    ingest(make_run(("cpu",)))
    ingest(make_run(("cpu",), calm=True))
    other = ingest(torch("2.12.0"))
    full = (tmp_path / "store.db").stat().st_size if (tmp_path / "store.db").exists() else None
    with Store(place) as store:
        (deleted,) = store.delete_older(1)
        assert store.delete_unused() > 0
        assert store.delete_unused() == 0
        left = [entry.record for entry in store.runs()]
        assert deleted.record not in left
        assert store.run(left[0]) == make_run(("cpu",), calm=True)
        assert store.run(other) == torch("2.12.0")
    if full is not None:
        assert (tmp_path / "store.db").stat().st_size < full


def test_a_run_with_too_large_a_number_is_refused(place: str, tmp_path: Path) -> None:
    """A run that a database cannot store leaves no rows."""
    run = torch("2.12.0")
    results = (run.results[0], replace(run.results[1], problems=2**70))
    write(tmp_path / "large.jsonl.gz", replace(run, results=results))
    with Store(place, make=True) as store:
        with pytest.raises(StoreError):
            store.add(tmp_path / "large.jsonl.gz")
        assert store.runs() == []


def test_a_file_that_is_not_a_run_file_is_not_ingested(place: str, tmp_path: Path) -> None:
    """The message is that of the reader and names the file."""
    (tmp_path / "text.jsonl.gz").write_text("no run file", encoding="utf-8")
    with Store(place, make=True) as store, pytest.raises(RunFileError, match=r"text\.jsonl\.gz"):
        store.add(tmp_path / "text.jsonl.gz")
