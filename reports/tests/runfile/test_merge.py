"""Runs are merged by cell, and their differences are described."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kl_reports.runfile.cell_id import CellId
from kl_reports.runfile.file import read, write
from kl_reports.runfile.merge import merge, separate_machines
from kl_reports.runfile.records import CutOff, Header, Result, Run, Verdict
from kl_reports_testkit.html_tree import tree


def part(run: Run, framework: str, **changes: str) -> Run:
    """Return the part of a run that one framework's worker would have written."""
    columns = {key: column for key, column in run.header.columns.items() if column.framework == framework}
    header: Header = replace(
        run.header,
        columns=columns,
        planned=tuple(cell for cell in run.header.planned if CellId.parse(cell).column in columns),
        environment={"": {**run.header.shared, **changes}},
    )
    return replace(run, header=header, results=tuple(cell for cell in run.results if cell.column in columns))


def verdicts(run: Run, changes: dict[int, Verdict]) -> Run:
    """Return a run with some verdicts changed."""
    results = list(run.results)
    for place, verdict in changes.items():
        results[place] = replace(results[place], verdict=verdict, detail=verdict.value)
    return replace(run, results=tuple(results))


def test_the_parts_make_the_whole(run: Run) -> None:
    """The merged run of four workers has every cell of each of them once."""
    whole = merge([part(run, name) for name in ("torch", "tensorflow", "jax", "scipy")])
    assert {cell.cell: cell for cell in whole.results} == {cell.cell: cell for cell in run.results}
    assert len(whole.results) == len(run.results)
    assert whole.header.columns == run.header.columns
    assert (whole.remarks, whole.finished) == ((), run.finished)
    assert [cell.cell for cell in whole.results] == list(whole.header.planned)


def test_what_differs_is_kept_apart(run: Run) -> None:
    """An environment entry that differs is kept under each framework; one that agrees is kept once."""
    whole = merge([part(run, "torch", python="3.11.7"), part(run, "jax", python="3.12.1", jax="0.10.2")])
    assert whole.header.environment == {
        "torch": {"python": "3.11.7", "platform": "test data", "torch": "2.13.0"},
        "jax": {"python": "3.12.1", "platform": "test data", "torch": "2.13.0", "jax": "0.10.2"},
    }
    assert whole.header.shared == {"platform": "test data", "torch": "2.13.0", "jax": "0.10.2"}
    assert whole.header.differing == {"python": {"torch": "3.11.7", "jax": "3.12.1"}}
    assert list(whole.header.described) == [*("python [torch]", "python [jax]", "platform", "torch", "jax")]
    twice = merge([run, replace(run, header=replace(run.header, seed=8, suite="0.2.0"))])
    assert twice.header.differing == {"seed": {"run 1": "7", "run 2": "8"}}
    again = merge([whole, part(run, "scipy", python="3.13.0")])
    assert again.header.differing == {"python": {"torch": "3.11.7", "jax": "3.12.1", "scipy": "3.13.0"}}
    assert twice.header.suite == "0.1.0, 0.2.0"


@pytest.mark.parametrize(
    ("earlier", "later", "kept", "remark"),
    [
        (Verdict.MISSING, Verdict.PASS, Verdict.PASS, False),
        (Verdict.PASS, Verdict.MISSING, Verdict.PASS, False),
        (Verdict.CRASHED, Verdict.MISSING, Verdict.CRASHED, False),
        (Verdict.CRASHED, Verdict.PASS, Verdict.PASS, True),
        (Verdict.PASS, Verdict.CRASHED, Verdict.CRASHED, True),
        (Verdict.FAIL, Verdict.PASS, Verdict.PASS, True),
        (Verdict.PASS, Verdict.FAIL, Verdict.FAIL, True),
        (Verdict.FAIL, Verdict.FAIL, Verdict.FAIL, False),
    ],
)
def test_the_later_result_is_kept(run: Run, earlier: Verdict, later: Verdict, kept: Verdict, remark: bool) -> None:
    """Of two results the later is kept, with a remark if they differ; MISSING replaces no other verdict."""
    whole = merge([verdicts(run, {0: earlier}), verdicts(run, {0: later})])
    assert whole.results[0].verdict is kept
    assert bool(whole.remarks) == remark
    if remark:
        assert f"has two results: {earlier.name}, then {later.name}" in whole.remarks[0]


def test_many_differences_are_counted(make_run: Callable[..., Run]) -> None:
    """Five cells with two results are named, the others counted."""
    calm = make_run(["cpu"], calm=True)
    other = verdicts(calm, dict.fromkeys(range(30), Verdict.FAIL))
    assert len(merge([calm, other]).remarks) == 6
    assert merge([calm, other]).remarks[-1].startswith("25 more cells")


def test_one_part_cut_off_makes_the_whole_cut_off(run: Run) -> None:
    """A merged run is finished only if all its parts are, and has all their remarks."""
    cut = replace(part(run, "jax"), finished=None, remarks=("jax was cut off",))
    whole = merge([part(run, "torch"), cut])
    assert (whole.finished, whole.remarks) == (None, ("jax was cut off",))


def test_a_revised_requirement_is_described(run: Run) -> None:
    """Of a requirement revised between two runs the later text is shown, with a remark."""
    name = next(iter(run.header.requirements))
    revised = {**run.header.requirements, name: {**run.header.requirements[name], "revision": 2}}
    whole = merge([run, replace(run, header=replace(run.header, requirements=revised))])
    assert whole.header.requirements[name]["revision"] == 2
    assert whole.remarks == (f"text or revision of {name} differs between runs; the later is shown",)


def test_a_merged_run_is_a_run(run: Run, tmp_path: Path) -> None:
    """A merged run is read as written, including its remarks and that it did not finish."""
    cut = replace(part(run, "jax"), finished=None, remarks=("jax was cut off",))
    whole = merge([part(run, "torch", python="3.12"), cut, run])
    write(tmp_path / "merged.jsonl.gz", whole)
    assert read(tmp_path / "merged.jsonl.gz") == whole
    assert merge([whole]) == whole


def test_merging_no_run_is_an_error() -> None:
    """At least one run is needed."""
    with pytest.raises(ValueError, match="at least one"):
        merge([])


def test_an_unplanned_cell_is_kept(run: Run) -> None:
    """A result of an unplanned cell is kept, too."""
    extra = Result("values/other", 1, run.results[0].column, Verdict.FAIL)
    whole = merge([replace(run, results=(*run.results, extra)), run])
    assert whole.results[-1] == extra


def of_version(run: Run, version: str) -> Run:
    """Return torch's part of a run as if another version had been tested."""
    run = part(run, "torch", torch=version)
    columns = {key: replace(column, version=version) for key, column in run.header.columns.items()}
    renamed = {key: column.key for key, column in columns.items()}
    planned = tuple(f"{cell.partition('@')[0]}@{renamed[cell.partition('@')[2]]}" for cell in run.header.planned)
    header = replace(run.header, columns={each.key: each for each in columns.values()}, planned=planned)
    results = tuple(replace(cell, column=renamed[cell.column]) for cell in run.results)
    return replace(run, header=header, results=results)


def test_two_versions_are_columns_beside_each_other(run: Run) -> None:
    """Each version has columns of its own, and the page begins with what differs between the two runs."""
    older, newer = of_version(run, "2.12.0"), of_version(run, "2.13.0")
    page = tree(merge(separate_machines([older, newer])))
    bands = page.one("table", id="cells").one("tr", _class="bands").line
    assert "torch 2.12.0 cpu eager" in bands
    assert "torch 2.13.0 cpu eager" in bands
    first = next(page.one("main").all("section"))
    assert first.line.startswith("Differences between the environments of the runs")
    assert [cell.line for cell in first.all("th", scope="col")] == ["torch 2.12.0", "torch 2.13.0"]
    assert [cell.line for cell in first.one("tbody").all("td")] == ["2.12.0", "2.13.0"]


def test_two_machines_are_columns_beside_each_other(run: Run) -> None:
    """Equal columns of two machines are both shown; of two runs on one machine the later result is kept."""
    first, second = part(run, "scipy", processor="one"), part(run, "scipy", processor="another")
    both = merge(separate_machines([first, second]))
    assert len(both.results) == 2 * len(first.results)
    machines = {column.device.partition(", ")[2] for column in both.header.columns.values()}
    assert machines == {"processor one", "processor another"}
    every = (*first.results, *second.results)
    assert [cell.verdict for cell in both.results] == [cell.verdict for cell in every]
    assert {cell.column for cell in both.results} == both.header.columns.keys()
    assert len(merge(separate_machines([first, first])).results) == len(first.results)
    assert separate_machines([part(run, "torch", processor="one"), second])[1] is second


def test_runs_cut_off_are_named_in_the_headline(run: Run) -> None:
    """The first line of the page names the run files that were cut off."""
    cut = replace(part(run, "jax"), finished=None, cut_off=(CutOff("jax.jsonl.gz", 3, 9),))
    page = tree(merge([part(run, "torch"), cut]))
    assert page.one("h1").line.startswith("Cut off: jax.jsonl.gz. New failures: ")
