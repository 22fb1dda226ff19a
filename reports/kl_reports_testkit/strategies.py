"""Hypothesis strategies for runs: arbitrary values in every field."""

from dataclasses import replace

from hypothesis import strategies as st

from kl_reports.runfile.budget import BudgetItem
from kl_reports.runfile.distribution import ErrorDistribution
from kl_reports.runfile.records import FORMAT, Column, CutOff, Fixed, Header, Kind, Result, Run, Verdict

TEXT = st.text(max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
COUNTS = st.dictionaries(st.integers(-(10**17), 10**17), st.integers(0, 10**9), max_size=4)
RESULTS = st.builds(
    Result,
    requirement=TEXT,
    revision=st.integers(0, 99),
    column=TEXT,
    verdict=st.sampled_from(Verdict),
    detail=TEXT,
    headroom=st.none() | st.floats(),
    budget=st.lists(st.builds(BudgetItem, st.floats(), TEXT, TEXT, TEXT), max_size=3).map(tuple),
    problems=st.integers(0, 2**63 - 1),
    witness=st.none() | st.dictionaries(TEXT, JSON, max_size=4),
    deviation=st.none() | TEXT,
    seconds=st.floats(),
    spread=st.none() | st.builds(ErrorDistribution, COUNTS, COUNTS, COUNTS),
    fixed=st.none() | st.builds(Fixed, st.integers(0, 2**63 - 1), st.none() | st.floats(), TEXT),
    kind=st.none() | st.sampled_from(Kind),
    explanation=TEXT,
    happened=TEXT,
    last_call=TEXT,
)
HEADERS = st.builds(
    Header,
    started=TEXT,
    suite=TEXT,
    profile=TEXT,
    seed=st.integers(),
    environment=st.dictionaries(TEXT, st.dictionaries(TEXT, TEXT, max_size=3), max_size=3),
    requirements=st.dictionaries(TEXT, st.dictionaries(TEXT, JSON, max_size=3), max_size=3),
    implementations=st.dictionaries(TEXT, st.dictionaries(TEXT, TEXT, max_size=3), max_size=3),
    columns=st.dictionaries(TEXT, st.builds(Column, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT), max_size=3),
    planned=st.just(()),
    guide=st.dictionaries(TEXT, JSON, max_size=3),
    format=st.just(FORMAT),
)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Draw a run in which every planned cell has a result."""
    results = tuple(draw(st.lists(RESULTS, max_size=5, unique_by=lambda result: result.cell)))
    header = replace(draw(HEADERS), planned=tuple(result.cell for result in results))
    cut = draw(st.lists(st.builds(CutOff, TEXT, st.integers(0, 99), st.integers(0, 99)), max_size=2))
    return Run(header, results, draw(st.none() | TEXT), tuple(draw(st.lists(TEXT, max_size=3))), tuple(cut))
