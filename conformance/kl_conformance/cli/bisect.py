"""`bisect`: finds the release in which a witness changed; each release has an environment of its own."""

import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from rich.console import Console

from kl_conformance.cli.options import names
from kl_conformance.cli.output import FINE, cannot
from kl_conformance.diagnosis.reproducer import reproducer
from kl_conformance.implementations import loading
from kl_conformance.requirements import catalogue
from kl_conformance.versions import witness_file
from kl_conformance.versions.bisection import Bisection, EndpointError, Outcome, Probe
from kl_conformance.versions.bisection import bisect as find_transitions
from kl_conformance.versions.environments import (
    Environment,
    InstallError,
    distribution,
    environment,
    released,
    suite_copy,
)
from kl_conformance.versions.replay import ReplayRequest, ReplayResult, replay_all
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
class Releases:
    """The functions that list and install the releases of a package, and replay witnesses in them."""

    released: Callable[..., list[str]] = released
    environment: Callable[..., AbstractContextManager[Environment]] = environment
    replay_all: Callable[..., list[ReplayResult]] = replay_all


RELEASES = Releases()


@click.command()
@click.argument("witness")
@click.option("--package", required=True, help="The package whose releases are tested, such as jax.")
@click.option("--good", required=True, metavar="VERSION", help="A release in which the witness passes.")
@click.option("--bad", required=True, metavar="VERSION", help="A release in which it fails; older or newer.")
@names("--with", "beside", "Also install this, as in 'numpy<2'.")
@click.option("--every", is_flag=True, help="Test every release in the range: all transitions (slower).")
@click.option("--pre", "early", is_flag=True, help="Include alpha and beta releases and release candidates.")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    default=Path("kl-bisect.json"),
    show_default=True,
    help="Where results are kept, so that the same command continues after an interruption.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Also write the result to a file.")
def bisect(**options: Any) -> int:
    """Find the release in which a witness changed from passed to failed, or back.

    Each release is installed in a new environment (by uv if it is installed, otherwise by venv and pip) and
    tested three times: good, bad, or skipped if it has no wheel or cannot be tested. WITNESS is as for `replay`.
    Exit codes: 0 found, 2 not found.
    """
    return find_release(**options)


def find_release(
    witness: str,
    package: str,
    good: str,
    bad: str,
    *,
    beside: Sequence[str] = (),
    every: bool = False,
    early: bool = False,
    state: Path,
    output: Path | None = None,
    releases: Releases = RELEASES,
) -> int:
    """Bisect, print each probe to stderr and the result as Markdown to stdout; return the exit code."""
    console = Console(stderr=True)
    try:
        found = witness_file.load(witness)
        catalogue.requirement(found.requirement)
        versions = release_range(releases.released(package, early=early), good, bad)
        for path in (state, output):
            if path is not None:
                check_writable(path)
        others = installed_beside(package, beside, found)
        saved = _State(state, package, beside, found)
        _print(
            console,
            f"{count(len(versions), 'release')} of {package} from {versions[0]} to {versions[-1]}; "
            f"results are kept in {state}.",
        )
        with suite_copy() as suite:

            def probe(version: str) -> Probe:
                result = saved.get(version)
                source = "" if result is None else " (from an earlier call)"
                if result is None:
                    _print(console, f"  {package} {version} …")
                    result = _probe(version, [f"{package}=={version}", *others], found, suite, releases)
                    saved.add(result)
                _print(console, f"  {package} {version}: {result.outcome.value}{source}. {result.message}")
                return result

            text = "\n".join(_report(package, found, find_transitions(versions, probe, every=every)))
        if output is not None:
            write_text(output, text)
    except EndpointError as error:
        return cannot("bisect", f"{error}; the --good and --bad versions must differ in the result")
    except (ValueError, InstallError, RunFileError) as error:
        return cannot("bisect", error)
    except KeyboardInterrupt:
        return cannot("bisect", f"interrupted; the same command continues from the results in {state}")
    print(text, end="")
    return FINE


def release_range(versions: Sequence[str], good: str, bad: str) -> list[str]:
    """Return the releases from the good version to the bad one, whichever is older.

    Raises
    ------
    ValueError
        One of them is no known release; the message names the nearest known ones.
    """
    ends = [_index(versions, name) for name in (good, bad)]
    if ends[0] == ends[1]:
        raise ValueError(f"the good and the bad version are both {good}, so the range is empty")
    low, high = sorted(ends)
    found = list(versions[low : high + 1])
    return found if ends[0] == low else found[::-1]


def _index(versions: Sequence[str], name: str) -> int:
    try:
        wanted = Version(name)
    except InvalidVersion:
        known = [*versions[:3], "…", *versions[-3:]] if len(versions) > 12 else versions
        raise ValueError(f"{name!r} is not a version; known: {', '.join(known)}") from None
    parsed = [Version(each) for each in versions]
    if wanted in parsed:
        return parsed.index(wanted)
    position = sum(version < wanted for version in parsed)
    near = sorted(range(len(parsed)), key=lambda index: abs(index - position))[:4]
    raise ValueError(
        f"version {name} is not among the releases that this Python ({platform.python_version()}) can install; "
        f"nearest: {', '.join(versions[index] for index in sorted(near))}"
    )


def installed_beside(package: str, beside: Sequence[str], witness: WitnessFile) -> list[str]:
    """Return the requirements installed beside the package: the framework and the implementation's package."""
    implementation = loading.implementation(witness.column.implementation)
    needed = {distribution(each) for each in (implementation.framework, implementation.package)}
    named = {canonicalize_name(Requirement(each).name) for each in (*beside, package)}
    return [*beside, *sorted(needed - named)]


def _probe(version: str, packages: list[str], witness: WitnessFile, suite: Path, releases: Releases) -> Probe:
    """Test one release in a new environment; a release that cannot be installed or tested is skipped."""
    try:
        with releases.environment(packages, suite) as fresh:
            (result,) = releases.replay_all([ReplayRequest(witness)], str(fresh.python), fresh.variables)
    except InstallError as error:
        return Probe(version, Outcome.SKIP, f"Not installed: {one_line(str(error))}")
    return Probe(version, OUTCOMES[result.observation], one_line(result.message, 600))


class _State:
    """The probes of a bisection, written after each one, so that the same command can continue."""

    def __init__(self, path: Path, package: str, beside: Sequence[str], witness: WitnessFile) -> None:
        self._path = path
        self._about = {
            "witness": witness.pair.id,
            "cell": f"{witness.requirement}@{witness.column.implementation}-{witness.column.dtype}",
            "package": package,
            "beside": list(beside),
            "python": platform.python_version(),
        }
        self._probes = self._read() if path.exists() else {}

    def get(self, version: str) -> Probe | None:
        """Return the earlier probe of a version, if any."""
        return self._probes.get(version)

    def add(self, probe: Probe) -> None:
        """Store a probe; skipped releases are not written, so that they are tried again."""
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
                    f"{self._path}: the state of another bisection ({data['about']}); name another file by --state"
                )
            return {
                version: Probe(version, Outcome(each["outcome"]), str(each["words"]))
                for version, each in data["probes"].items()
            }
        except (OSError, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{self._path}: not the state of a bisection ({type(error).__name__}: {error}); remove it, or name "
                "another file by --state"
            ) from None


def _report(package: str, witness: WitnessFile, found: Bisection) -> Iterator[str]:
    """Yield the lines of the result as Markdown, ready for an issue tracker."""
    column = witness.column
    yield f"# {_title(package, witness, found)}"
    yield ""
    yield f"`{witness.requirement}`: {catalogue.requirement(witness.requirement).sentence}"
    yield ""
    for transition in found.transitions:
        for probe in (transition.before, transition.after):
            yield f"- {package} **{probe.version}** is {probe.outcome.value}: {probe.message}"
        if transition.skipped:
            skipped = "; ".join(f"{probe.version} ({probe.message})" for probe in transition.skipped)
            yield f"- between them, skipped: {skipped}"
        yield ""
    if not found.monotone:
        yield f"The range is not monotone: it has {len(found.transitions)} transitions between the tested releases."
        yield ""
    yield "The smallest input that shows it:"
    yield ""
    yield from (f"- `{line}`" for line in described(show(witness.witness), numbers=False, bits=True))
    yield ""
    if script := reproducer(witness.requirement, witness.column, witness.witness):
        yield from ("```python", script.rstrip(), "```", "")
    tested = ", ".join(f"{probe.version} {probe.outcome.value}" for probe in found.probes)
    rest = f"; {count(found.untested, 'release')} between were not tested" if found.untested else ""
    yield (
        f"Tested {column.implementation} ({column.device}, {column.dtype}, {column.mode}) in new environments on "
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}: {tested}{rest}."
    )
    yield ""


def _title(package: str, witness: WitnessFile, found: Bisection) -> str:
    transition = found.transitions[-1]
    name, after = witness.column.implementation, transition.after
    if Version(after.version) < Version(transition.before.version):  # tested from new to old
        return f"{name} was {after.outcome.value} up to {package} {after.version}"
    return f"{name} {'fails' if after.outcome is Outcome.BAD else 'passes'} since {package} {after.version}"


def _print(console: Console, message: str) -> None:
    console.print(message, highlight=False, markup=False, soft_wrap=True)
