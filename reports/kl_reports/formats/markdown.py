"""Markdown summary of a run, for a CI job."""

from collections.abc import Callable, Iterable, Iterator

from kl_reports.analysis.findings import FindingPlace, Places, deviations, findings, nearest, reasons
from kl_reports.analysis.scores import LEVELS, completeness, headline, packages, scores, tested_columns
from kl_reports.analysis.wording import LOOKS, count, escaped, listed, moment
from kl_reports.runfile.records import Run, Verdict

# GitHub takes a summary of 1 MiB a step and shows nothing of a larger one.
# Source: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
LIMIT = 900_000
_ROWS = 200  # of one table


def markdown(run: Run, limit: int = LIMIT) -> str:
    """Return the run as Markdown of at most ``limit`` bytes; a section that does not fit is omitted as a whole.

    In order of importance: headline and completeness, new failures, scores, cells closest to the limit, known
    deviations, cells that were not judged, and the environment.
    """
    places = Places(run)
    sections: tuple[Callable[[Run, Places], Iterator[str]], ...] = (
        _headline,
        _findings,
        _scores,
        _nearest,
        _deviations,
        _reasons,
        _environment,
    )
    text, omitted = "", list[str]()
    for section in sections:
        lines = list(section(run, places))
        if not lines:
            continue
        part = "\n".join(lines) + "\n\n"
        if len((text + part).encode()) <= limit - 200:
            text += part
        else:
            omitted.append(lines[0].lstrip("# "))
    if omitted:
        text += f"Omitted for size: {', '.join(omitted)}.\n"
    return text


def _headline(run: Run, _: Places) -> Iterator[str]:
    yield f"# {headline(run)[0]}"
    yield ""
    names = listed(packages(run, tested_columns(run)), 12)
    yield f"Tested {escaped(names)}; {escaped(moment(run.header.started), 60)}."
    yield ""
    whole = completeness(run)
    yield f"**{whole.sentence}**"
    for line in whole.absent_devices:
        yield f"- {escaped(line)}"
    for sentence in run.sentences[:20]:
        yield f"- {escaped(sentence)}"


def _findings(run: Run, places: Places) -> Iterator[str]:
    found = findings(run, places, {})
    if found:
        yield "## New failures"
        yield ""
        yield "| | requirement | level | where |"
        yield "|---|---|---|---|"
        for each in found[:_ROWS]:
            mark = f"{each.look.glyph} {each.ratio}".strip()
            yield f"| {mark} | {escaped(each.requirement)} | {escaped(each.level)} | {_places(each.places)} |"
        yield from _more(len(found))


def _scores(run: Run, _: Places) -> Iterator[str]:
    found = scores(run)
    if found:
        yield "## Requirements passed"
        yield ""
        yield f"| implementation | {' | '.join(LEVELS)} | cells not run |"
        yield f"|---|{'---|' * (len(LEVELS) + 1)}"
        for score in found[:_ROWS]:
            levels = (each.text if (each := score.at(level)) else "none" for level in LEVELS)
            name = escaped(f"{score.implementation} {score.version}")
            yield f"| {name} | {' | '.join(levels)} | {score.missing:,} |"
        yield from _more(len(found))


def _nearest(run: Run, places: Places) -> Iterator[str]:
    found = list(nearest(run, places, {}, 10))
    if found:
        yield "## Closest to the limit"
        yield ""
        yield "| used | requirement | on |"
        yield "|---|---|---|"
        for near in found:
            yield f"| ✓ {near.ratio} | {escaped(near.requirement)} | {escaped(f'{near.where} {near.dtype}')} |"


def _deviations(run: Run, places: Places) -> Iterator[str]:
    found = deviations(run, places, {})
    if found:
        yield "## Known deviations"
        yield ""
        for each in found[:_ROWS]:
            look = LOOKS[Verdict.FIXED if each.fixed else Verdict.EXPECTED]
            yield f"- {look.glyph} **{escaped(each.name)}**: {escaped(each.reason, 400)} ({_places(each.places)})"
        yield from _more(len(found))


def _reasons(run: Run, places: Places) -> Iterator[str]:
    found, _ = reasons(run, places)
    if found:
        yield "## Not judged"
        yield ""
        for each in found[:_ROWS]:
            sentence = escaped(each.sentence, 400) or "no reason given"
            yield f"- {each.look.glyph} {count(each.cells, 'cell')} {each.look.word}: {sentence}"
        yield from _more(len(found))


def _environment(run: Run, _: Places) -> Iterator[str]:
    yield "## The run"
    yield ""
    values = {
        "kl-conformance": run.header.suite,
        "profile": run.header.profile,
        "seed": str(run.header.seed),
        **run.header.described,
    }
    for name, value in values.items():
        yield f"- {escaped(name)}: {escaped(value)}"


def _more(number: int) -> Iterator[str]:
    if number > _ROWS:
        yield ""
        yield f"… and {number - _ROWS:,} more."


def _places(found: Iterable[FindingPlace]) -> str:
    names = [f"{escaped(each.name)} {escaped(' '.join(each.dtypes), 80)}" for each in found]
    return listed(names, 4)
