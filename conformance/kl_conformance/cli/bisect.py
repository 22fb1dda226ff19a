"""`bisect`: in which release a witness turned from good to bad, each version asked in an environment of its own."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from rich.console import Console

from kl_conformance.cli.options import several
from kl_conformance.cli.output import FINE, cannot
from kl_conformance.diagnosis.reproducer import reproducer
from kl_conformance.implementations import loading
from kl_conformance.requirements import catalogue
from kl_conformance.versions import witness_file
from kl_conformance.versions.bisection import Bisection, EndpointError, Outcome, Probe
from kl_conformance.versions.bisection import bisect as find_transitions
from kl_conformance.versions.environments import InstallError, distribution, environment, released, suite_copy
from kl_conformance.versions.replay import ReplayRequest, replay_all
from kl_conformance.versions.witness_file import WitnessFile
from kl_reports.analysis.witness import described, show
from kl_reports.analysis.wording import count, one_line
from kl_reports.comparison.change import Observation
from kl_reports.files import RunFileError, check_writable, write_text

OUTCOMES = {
    Observation.PASSED: Outcome.GOOD,
    Observation.FAILED: Outcome.BAD,
    Observation.UNSTABLE: Outcome.SKIP,
    Observation.NOT_TESTED: Outcome.SKIP,
}


@dataclass(frozen=True, slots=True)
class BisectOptions:
    """What was asked on the command line."""

    witness: str
    package: str
    good: str
    bad: str
    beside: tuple[str, ...] = ()
    every: bool = False
    early: bool = False
    state: Path = Path("kl-bisect.json")
    output: Path | None = None


def execute(asked: BisectOptions) -> int:
    """Bisect, tell every probe as it ends and the result as Markdown; 0 found, 2 could not."""
    console = Console(stderr=True)
    try:
        witness = witness_file.load(asked.witness)
        catalogue.requirement(witness.requirement)
        versions = between(released(asked.package, prereleases=asked.early), asked.good, asked.bad)
        for path in (asked.state, asked.output):
            if path is not None:
                check_writable(path)
        known = _State(asked, witness)
        _say(
            console,
            f"{count(len(versions), 'release')} of {asked.package} from {versions[0]} to {versions[-1]}; "
            f"what is asked is kept in {asked.state}.",
        )
        with suite_copy() as suite:

            def ask(version: str) -> Probe:
                probe = known.get(version)
                again = "" if probe is None else " (asked before)"
                if probe is None:
                    _say(console, f"  {asked.package} {version} …")
                    probe = _probe(asked, witness, version, suite)
                    known.keep(probe)
                _say(console, f"  {asked.package} {version}: {probe.outcome.value}{again}. {probe.message}")
                return probe

            found = find_transitions(versions, ask, every=asked.every)
        told = report(asked.package, witness, found)
        if asked.output is not None:
            write_text(asked.output, told)
    except EndpointError as error:
        return cannot("bisect", f"{error} Both ends are asked first; name versions that differ")
    except (ValueError, InstallError, RunFileError) as error:
        return cannot("bisect", str(error))
    except KeyboardInterrupt:
        return cannot(
            "bisect",
            f"interrupted; what was asked is kept in {asked.state}: the same command goes on from there",
        )
    print(told, end="")
    return FINE


def between(versions: Sequence[str], good: str, bad: str) -> list[str]:
    """Return the releases from a good version to a bad one, whichever is older.

    Raises
    ------
    ValueError
        One of them is no release known here; the message names those near it.
    """
    places = [_place(versions, name) for name in (good, bad)]
    if places[0] == places[1]:
        raise ValueError(f"the good and the bad version are both {good}: nothing lies between them")
    low, high = sorted(places)
    range_ = list(versions[low : high + 1])
    return range_ if places[0] == low else range_[::-1]


def _place(versions: Sequence[str], name: str) -> int:
    try:
        wanted = Version(name)
    except InvalidVersion:
        raise ValueError(f"{name!r} is no version; known: {_some(versions)}") from None
    own = [Version(each) for each in versions]
    if wanted in own:
        return own.index(wanted)
    near = sorted(versions, key=lambda each: abs(own.index(Version(each)) - sum(v < wanted for v in own)))[:4]
    raise ValueError(
        f"version {name} is not among the releases that this Python ({platform.python_version()}) can install; "
        f"near it: {', '.join(sorted(near, key=Version))}"
    )


def _some(versions: Sequence[str]) -> str:
    return (
        ", ".join(versions)
        if len(versions) <= 12
        else f"{', '.join(versions[:3])} … {', '.join(versions[-3:])}"
    )


def _probe(asked: BisectOptions, witness: WitnessFile, version: str, suite: Path) -> Probe:
    """Ask one version in a fresh environment; what cannot be installed or asked is skipped, never bad."""
    try:
        with environment((f"{asked.package}=={version}", *beside(asked, witness)), suite) as fresh:
            (answer,) = replay_all([ReplayRequest(witness)], str(fresh.python), fresh.variables)
    except InstallError as error:
        return Probe(version, Outcome.SKIP, f"Not installed: {one_line(str(error))}")
    return Probe(version, OUTCOMES[answer.observation], one_line(answer.message, 600))


def beside(asked: BisectOptions, witness: WitnessFile) -> list[str]:
    """Return what must be installed beside the package: its framework and the implementation's package."""
    implementation = loading.implementation(witness.column.implementation)
    own = {distribution(each) for each in (implementation.framework, implementation.package)}
    named = {canonicalize_name(Requirement(each).name) for each in (*asked.beside, asked.package)}
    return [*asked.beside, *sorted(own - named)]


class _State:
    """What was asked, kept after each probe, so that the same command goes on where it was ended."""

    def __init__(self, asked: BisectOptions, witness: WitnessFile) -> None:
        self._path = asked.state
        self._about = {
            "witness": witness.pair.id,
            "cell": f"{witness.requirement}@{witness.column.implementation}-{witness.column.dtype}",
            "package": asked.package,
            "beside": list(asked.beside),
            "python": platform.python_version(),
        }
        self._probes = dict[str, Probe]()
        if self._path.exists():
            self._probes = self._read()

    def get(self, version: str) -> Probe | None:
        """Return what is known of a version."""
        return self._probes.get(version)

    def keep(self, probe: Probe) -> None:
        """Keep what was seen of a version; what could not be installed is tried again another time."""
        self._probes[probe.version] = probe
        probes = {
            each.version: {"outcome": each.outcome.value, "words": each.message}
            for each in self._probes.values()
            if each.outcome is not Outcome.SKIP
        }
        write_text(self._path, json.dumps({"about": self._about, "probes": probes}, indent=1) + "\n")

    def _read(self) -> dict[str, Probe]:
        try:
            data: Mapping[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
            if data["about"] != self._about:
                raise ValueError(
                    f"{self._path}: is the state of another bisection ({data['about']}); name another file by --state"
                )
            return {
                version: Probe(version, Outcome(each["outcome"]), str(each["words"]))
                for version, each in data["probes"].items()
            }
        except (OSError, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{self._path}: is no state of a bisection ({type(error).__name__}: {error}); remove it, or name "
                "another file by --state"
            ) from None


def report(package: str, witness: WitnessFile, found: Bisection) -> str:
    """Return what was found as Markdown, ready for an issue tracker."""
    requirement = catalogue.requirement(witness.requirement)
    column = witness.column
    lines = [
        f"# {_title(package, witness, found)}",
        "",
        f"`{witness.requirement}`: {requirement.sentence}",
        "",
    ]
    for turn in found.transitions:
        words = f"- {package} **{turn.before.version}** is {turn.before.outcome.value}: {turn.before.message}"
        lines += [
            words,
            f"- {package} **{turn.after.version}** is {turn.after.outcome.value}: {turn.after.message}",
        ]
        if turn.skipped:
            lines.append(f"- between them, not asked: {_skipped(turn.skipped)}")
        lines.append("")
    if not found.monotone:
        lines += [
            f"The range is not monotone: it turns {len(found.transitions)} times among what was asked.",
            "",
        ]
    seen = show(witness.witness)
    lines += ["The smallest input that shows it:", ""]
    lines += [*(f"- `{line}`" for line in described(seen, numbers=False, bits=True)), ""]
    script = reproducer(witness.requirement, witness.column, witness.witness)
    lines += ["```python", script.rstrip(), "```", ""] if script else []
    asked = ", ".join(f"{probe.version} {probe.outcome.value}" for probe in found.probes)
    rest = f"; {count(found.untested, 'release')} between were not asked" if found.untested else ""
    lines += [
        f"Asked {column.implementation} ({column.device}, {column.dtype}, {column.mode}) in fresh environments on "
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}: {asked}{rest}.",
        "",
    ]
    return "\n".join(lines)


def _title(package: str, witness: WitnessFile, found: Bisection) -> str:
    turn = found.transitions[-1]
    name = witness.column.implementation
    change = "is broken since" if turn.after.outcome is Outcome.BAD else "is right since"
    if Version(turn.after.version) < Version(turn.before.version):  # asked from new to old
        return f"{name} was {turn.after.outcome.value} up to {package} {turn.after.version}"
    return f"{name} {change} {package} {turn.after.version}"


def _skipped(probes: Sequence[Probe]) -> str:
    return "; ".join(f"{probe.version} ({probe.message})" for probe in probes)


def _say(console: Console, words: str) -> None:
    console.print(words, highlight=False, markup=False, soft_wrap=True)


@click.command()
@click.argument("witness")
@click.option("--package", required=True, help="Whose releases to ask, such as jax.")
@click.option("--good", required=True, metavar="VERSION", help="A release where the witness holds.")
@click.option("--bad", required=True, metavar="VERSION", help="A release where it is broken; older or newer.")
@click.option(
    "--with", "beside", multiple=True, callback=several, help="Install this as well, as in 'numpy<2'."
)
@click.option("--every", is_flag=True, help="Ask every release between: no turn can be missed.")
@click.option("--pre", "early", is_flag=True, help="Ask alphas, betas and release candidates, too.")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    default=Path("kl-bisect.json"),
    show_default=True,
    help="Where each probe is kept, so that the same command goes on after an interruption.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the result to a file as well.")
def bisect(
    witness: str,
    package: str,
    good: str,
    bad: str,
    beside: tuple[str, ...],
    every: bool,
    early: bool,
    state: Path,
    output: Path | None,
) -> None:
    """Find the release in which a witness turned from good to bad.

    Each release is installed in a fresh environment (by uv where it is installed, else venv and pip) and asked
    three times: good, bad, or skipped where it has no wheel or cannot be asked. WITNESS is what `replay` takes.
    Exit codes: 0 found, 2 it could not be.
    """
    sys.exit(execute(BisectOptions(witness, package, good, bad, beside, every, early, state, output)))
