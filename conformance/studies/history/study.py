"""History study: changes of KL over the releases of a package, from run files of consecutive versions.

``python conformance/studies/history/study.py RUN…`` rewrites history.json and history.md beside this file. Run files
are made by ``tox -e jax-0.4.30`` and the like, or by ``kl-conformance run`` in any environment.
"""

import itertools
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from packaging.version import Version

from kl_reports.analysis.witness import show
from kl_reports.analysis.wording import count, listed
from kl_reports.comparison.change import Bucket, Change
from kl_reports.comparison.compare import Comparison, compare
from kl_reports.runfile.file import read
from kl_reports.runfile.records import Run, Verdict

FOLDER = Path(__file__).parent
DATA, PAGE, EXPLANATIONS = FOLDER / "history.json", FOLDER / "history.md", FOLDER / "history.toml"
TRANSITIONS = (Bucket.REGRESSED, Bucket.NEWLY_OBSERVED, Bucket.FIXED, Bucket.UNSTABLE)
MOVED = (Bucket.WORSE, Bucket.BETTER)


def parts(run: Run) -> Iterator[tuple[str, str, Run]]:
    """Yield each package and version in a run's columns, with the part of the run about it."""
    header = run.header
    packages = {
        key: (header.implementations.get(column.implementation, {}).get("package") or column.framework, column.version)
        for key, column in header.columns.items()
    }
    for package, version in dict.fromkeys(packages.values()):
        columns = {key: each for key, each in header.columns.items() if packages[key] == (package, version)}
        results = tuple(result for result in run.results if result.column in columns)
        yield package, version, replace(run, header=replace(header, columns=columns), results=results)


def history(runs: Sequence[Run]) -> Mapping[str, Any]:
    """Return the history of each package as plain data.

    For each package: ``versions``, each with its environment and the number of cells per verdict; and ``steps``, one
    between each version and the next, with ``transitions`` (cells whose verdict changed, one entry for all dtypes),
    ``moved`` (cells whose headroom doubled or halved) and the number of cells with ``changed bits``.
    """
    packages = dict[str, list[tuple[str, Run]]]()
    for name, version, part in (each for run in runs for each in parts(run)):
        if any(result.verdict is not Verdict.MISSING for result in part.results):
            packages.setdefault(name, []).append((version, part))
    return {name: _package(sorted(own, key=lambda each: Version(each[0]))) for name, own in sorted(packages.items())}


def _package(runs: Sequence[tuple[str, Run]]) -> Mapping[str, Any]:
    return {
        "versions": [
            {
                "version": version,
                "environment": run.header.described,
                "suite": run.header.suite,
                "profile": run.header.profile,
                "seed": run.header.seed,
                "complete": run.finished is not None,
                "verdicts": dict(Counter(result.verdict.name for result in run.results)),
            }
            for version, run in runs
        ],
        "steps": [
            {"old": old, "new": new, **_step(compare(before, after))}
            for (old, before), (new, after) in itertools.pairwise(runs)
        ],
    }


def _step(comparison: Comparison) -> Mapping[str, Any]:
    found = dict[tuple[str, str, Bucket], list[Change]]()
    for bucket in (*TRANSITIONS, *MOVED):
        for change in comparison.of(bucket):
            key = change.requirement, change.column.implementation, bucket
            found.setdefault(key, []).append(change)
    return {
        "transitions": [
            _transition(comparison, changes) for (_, _, bucket), changes in found.items() if bucket in TRANSITIONS
        ],
        "moved": [_move(changes) for (_, _, bucket), changes in found.items() if bucket in MOVED],
        "changed bits": len(comparison.of(Bucket.CHANGED_BITS)),
        "not comparable": len(comparison.of(Bucket.NOT_COMPARABLE)) + len(comparison.of(Bucket.MISSING)),
    }


def _transition(comparison: Comparison, changes: Sequence[Change]) -> Mapping[str, Any]:
    first = changes[0]
    run = comparison.new if first.new else comparison.old
    failed = first.witnessed
    witness = dict[str, Any]()
    if failed is not None and failed.witness:
        seen = show(failed.witness)
        got, right, allowed = seen.measured()
        witness = {
            "call": seen.call,
            **{
                name: {"space": each.space, "values": each.brief(), "bits": [one.bits for one in each.shown]}
                for name, each in (("target", seen.target), ("model", seen.model))
                if each is not None
            },
            **({"got": got, "right": right, "allowed": allowed} if right else {}),
            "note": seen.note,
        }
    return {
        "requirement": first.requirement,
        "sentence": str(run.header.requirements.get(first.requirement, {}).get("sentence", "")),
        "implementation": first.column.implementation,
        "dtypes": [change.column.dtype for change in changes],
        "bucket": first.bucket.value,
        "witness": witness,
    }


def _move(changes: Sequence[Change]) -> Mapping[str, Any]:
    first = changes[0]
    return {
        "requirement": first.requirement,
        "implementation": first.column.implementation,
        "dtypes": [change.column.dtype for change in changes],
        "bucket": first.bucket.value,
        "why": first.reason,
    }


def page(packages: Mapping[str, Any], explanations: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the page."""
    yield "# Changes of KL over library releases"
    yield ""
    yield (
        "Made by `python conformance/studies/history/study.py RUN…` from run files of one suite, one profile and one "
        "seed, each version in an environment of its own. Every version is compared with the one before it. A "
        "*transition* is a requirement that passed and now fails, or failed and now passes, on the same problem. "
        "The data is in [history.json](history.json)."
    )
    for name, package in packages.items():
        versions = package["versions"]
        yield ""
        yield f"## {name}: {count(len(versions), 'version')}, {versions[0]['version']} to {versions[-1]['version']}"
        yield ""
        yield "| version | passed | failed | known deviation | not run | since the version before |"
        yield "|---|---|---|---|---|---|"
        steps = [None, *package["steps"]]
        for version, step in zip(versions, steps, strict=True):
            cut = "" if version["complete"] else " (cut off)"
            yield f"| {version['version']}{cut} | {_cells(version)} | {_since(step)} |"
        yield from _transitions(name, package["steps"], explanations)


def _cells(version: Mapping[str, Any]) -> str:
    own = version["verdicts"]

    def sum_of(*verdicts: Verdict) -> str:
        return f"{sum(own.get(each.name, 0) for each in verdicts):,}"

    return " | ".join(
        (
            sum_of(Verdict.PASS),
            sum_of(Verdict.FAIL, Verdict.FIXED, Verdict.CRASHED, Verdict.TIMED_OUT, Verdict.NONDETERMINISTIC),
            sum_of(Verdict.EXPECTED),
            sum_of(Verdict.UNSUPPORTED, Verdict.UNDECIDED, Verdict.MISSING),
        )
    )


def _since(step: Mapping[str, Any] | None) -> str:
    if step is None:
        return ""
    buckets = Counter(transition["bucket"] for transition in step["transitions"])
    text = [f"**{number} {bucket.replace('-', ' ')}**" for bucket, number in buckets.items()]
    moved = Counter(move["bucket"] for move in step["moved"])
    text += [f"{number} {bucket}" for bucket, number in moved.items()]
    text += [f"{step['changed bits']} other bits"] if step["changed bits"] else []
    return ", ".join(text) or "the same bits"


def _transitions(package: str, steps: Sequence[Mapping[str, Any]], explanations: Mapping[str, Any]) -> Iterator[str]:
    for step in steps:
        if not step["transitions"] and not step["moved"]:
            continue
        yield ""
        yield f"### {package} {step['new']}"
        own = explanations.get(package, {}).get(step["new"])
        if own:
            yield ""
            yield f"{own['why']} ({own['link']})" if own.get("link") else own["why"]
        yield ""
        for transition in step["transitions"]:
            yield _transition_line(transition)
        yield from _moved(step["moved"])


def _moved(moves: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield one line for all requirements of an implementation that moved in the same direction."""
    found = dict[tuple[str, str, str], list[Mapping[str, Any]]]()
    for move in moves:
        key = move["bucket"], move["implementation"], ", ".join(move["dtypes"])
        found.setdefault(key, []).append(move)
    for (bucket, implementation, dtypes), own in found.items():
        names = listed([f"`{move['requirement']}`" for move in own])
        yield f"- {bucket} on {implementation} ({dtypes}): {names}. The first: {own[0]['why']}"


def _transition_line(transition: Mapping[str, Any]) -> str:
    where = f"{transition['implementation']} ({', '.join(transition['dtypes'])})"
    bucket = transition["bucket"].replace("-", " ")
    text = f"- **{bucket}**: `{transition['requirement']}` on {where}. {transition['sentence']}"
    seen = transition["witness"]
    if not seen:
        return text
    sides = ", ".join(f"{name} `{seen[name]['values']}`" for name in ("target", "model") if name in seen)
    details = [f"got {seen['got']}, expected {seen['right']}"] if "right" in seen else []
    return f"{text} Witness: {sides}: {', '.join([*details, *([seen['note']] if seen['note'] else [])])}."


def main(places: Sequence[str]) -> int:
    """Rewrite the data and the page from run files; return 2 if no file is given."""
    files = [
        file for place in map(Path, places) for file in (sorted(place.glob("*.gz")) if place.is_dir() else [place])
    ]
    if not files:
        print(
            "usage: python conformance/studies/history/study.py RUN… (run files, or folders of them)", file=sys.stderr
        )
        return 2
    packages = history([read(file) for file in files])
    explanations = tomllib.loads(EXPLANATIONS.read_text(encoding="utf-8")) if EXPLANATIONS.exists() else {}
    DATA.write_text(json.dumps(packages, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text("\n".join(page(packages, explanations)) + "\n", encoding="utf-8")
    transitions = sum(len(step["transitions"]) for each in packages.values() for step in each["steps"])
    print(f"{count(len(files), 'run file')}, {count(transitions, 'transition')}: {PAGE}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
