"""Example runs, a browser, and databases for stores."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kl_reports.page.page import write_page
from kl_reports.runfile.budget import BudgetItem
from kl_reports.runfile.records import Column, Header, Result, Run, Verdict
from kl_reports_testkit import postgres
from kl_reports_testkit.browser import Browser, unavailable
from kl_reports_testkit.example_runs import WITNESS, example_run


@pytest.fixture
def make_run() -> Callable[..., Run]:
    """A factory of example runs with every verdict."""
    return example_run


@pytest.fixture
def run(make_run: Callable[..., Run]) -> Run:
    """An example run with every verdict."""
    return make_run()


@pytest.fixture
def small_run(run: Run) -> Run:
    """The first eight cells of the example run."""
    return Run(replace(run.header, planned=run.header.planned[:8]), run.results[:8], run.finished)


HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</script></style><!--",
    "{{ 7 * 7 }}{% raw %}",
    "\x1b[31mred\x00\x07\r\n\ttab",
    "🦄👩‍👩‍👧 e\u0301",
    "\u202egnp.exe\u2066",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "a b/c@d#e?f%20&amp;",
    "javascript:alert(1)",
    "\ud800",
    "x" * 10_000,
)


@pytest.fixture
def hostile_run() -> Run:
    """A run in which every free text is hostile."""
    columns = {
        text + str(position): Column(text, text, text, text, text, text) for position, text in enumerate(HOSTILE)
    }
    witness: dict[str, Any] = dict(zip(WITNESS, (*HOSTILE, *HOSTILE), strict=False))
    witness["got"] = [*HOSTILE]
    witness["call"] = {"side": HOSTILE[5], "text": "".join(HOSTILE[:-1])}
    witness["layout"] = {"target": HOSTILE[0], "model": HOSTILE[4]}
    witness["target"] = {"space": HOSTILE[0], "shape": [HOSTILE[1]], "bits": [*HOSTILE]}
    head = Header(
        started=HOSTILE[0],
        suite=HOSTILE[1],
        profile=HOSTILE[2],
        seed=7,
        environment={"": {text: text for text in HOSTILE}},
        requirements={text: {"level": text, "sentence": text, "formula": text, "link": text} for text in HOSTILE},
        implementations={text: {"framework": text, "documentation": text, text: text} for text in HOSTILE},
        columns=columns,
        planned=tuple(f"{text}@{key}" for text in HOSTILE for key in columns),
        guide={
            "questions": [
                {"question": text, "answer": text, "property": text, "requirements": [*HOSTILE]} for text in HOSTILE
            ],
            "evidence": {text: [*HOSTILE] for text in HOSTILE},
        },
    )
    verdicts = list(Verdict)
    results = tuple(
        Result(
            requirement=text,
            revision=1,
            column=key,
            verdict=verdicts[(row + place) % len(verdicts)],
            detail=HOSTILE[place],
            headroom=(None, 0.5, float("nan"), float("inf"), 3.0, -1.0)[place % 6],
            budget=tuple(BudgetItem(1.5, text, text, text) for text in HOSTILE),
            witness=witness,
            deviation=HOSTILE[row],
        )
        for row, text in enumerate(HOSTILE)
        for place, key in enumerate(columns)
    )
    return Run(head, results, None, HOSTILE)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests of a file; they are skipped if none can be started."""
    if reason := unavailable():
        pytest.skip(reason)
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def shown(run: Run, tmp_path: Path) -> Path:
    """The page of the example run."""
    write_page(run, tmp_path / "page.html")
    return tmp_path / "page.html"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgres.Server]:
    """One server for all tests; they are skipped if none can be started."""
    if reason := postgres.unavailable():
        pytest.skip(reason)
    with postgres.server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The place of a new store: a file that does not exist yet, or an empty database of a server."""
    if request.param == "sqlite":
        return str(tmp_path / "store.db")
    server: postgres.Server = request.getfixturevalue("postgresql")
    return server.database()
