"""Example comparison of two runs, with cells in every bucket: test data, not measurements."""

from dataclasses import replace
from typing import Any

from kl_reports.comparison.change import Bucket, Observation, Replayed, reclassified
from kl_reports.comparison.compare import Comparison, compare
from kl_reports.runfile.distribution import ErrorDistribution
from kl_reports.runfile.records import Fixed, Header, Result, Run, Verdict
from kl_reports_testkit.example_runs import WITNESS, example_run

OLD, NEW = "0" * 16, "f" * 16  # hashes of output bits
SUITE = "values/dtype-range"  # the requirement whose problems differ between the runs
BEFORE = ErrorDistribution({-7: 4, -3: 12, 0: 20, 4: 4}, {2: 620, 1025: 980}, {0: 610, 12: 980})
FAILED: dict[str, Any] = {
    "verdict": Verdict.FAIL,
    "headroom": float("inf"),
    "detail": "returned NaN",
    "witness": WITNESS,
    "fixed": None,
}
# For so many cells each: the fields of the result in the old run and in the new run.
SIDES: tuple[tuple[int, dict[str, Any], dict[str, Any]], ...] = (
    (5, {}, FAILED),
    (4, FAILED, {}),
    (2, {}, {"verdict": Verdict.NONDETERMINISTIC, "detail": "the same call returned 3 different answers"}),
    (3, {}, {"verdict": Verdict.MISSING, "headroom": None, "fixed": None, "detail": "not installed"}),
    (6, {"fixed": Fixed(40, 0.1, OLD), "spread": BEFORE}, {"fixed": Fixed(40, 0.6, NEW)}),
    (3, {"fixed": Fixed(40, 0.6, OLD), "spread": BEFORE}, {"fixed": Fixed(40, 0.02, NEW)}),
    (30, {"fixed": Fixed(40, 0.5, OLD)}, {"fixed": Fixed(40, 0.5, NEW)}),
    (3, {"verdict": Verdict.UNSUPPORTED, "headroom": None}, {}),
)


def example_comparison() -> Comparison:
    """Return a comparison in which no bucket is empty."""
    passed = example_run(["cpu"], calm=True)
    results = [replace(result, fixed=Fixed(40, 0.5, OLD), budget=()) for result in passed.results]
    free = iter([place for place, result in enumerate(results) if result.requirement != SUITE])
    old, new = list(results), list(results)
    for number, before, after in SIDES:
        for _ in range(number):
            place = next(free)
            old[place], new[place] = replace(results[place], **before), replace(results[place], **after)
    first = _run(passed.header, old, "2.12.0", "1")
    found = compare(first, _run(passed.header, new, "2.13.0", "2"))
    regressed = [change for change in found.changes if change.bucket is Bucket.REGRESSED]
    again = reclassified(regressed[-1], Replayed(Observation.FAILED, Observation.FAILED))
    changes = tuple(again if change is regressed[-1] else change for change in found.changes)
    return replace(found, changes=changes, remarks=("The old run was cut off: cells that it did not reach.",))


def _run(header: Header, results: list[Result], torch: str, problems: str) -> Run:
    known = {**header.requirements, SUITE: {**header.requirements[SUITE], "problems": problems}}
    environment = {"": {**header.shared, "torch": torch}}
    return Run(replace(header, requirements=known, environment=environment), tuple(results), header.started)
