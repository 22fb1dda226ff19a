"""What each worker of a run is to ask: frameworks never share a process, and a user's kernel has its own."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kl_cases.recipes import TestProfile
from kl_conformance.cells.effort import REDUCED_COST, builtin_dtypes
from kl_conformance.implementations import loading, registry
from kl_conformance.implementations.source import defined
from kl_conformance.runs import header as headers
from kl_conformance.runs.plan import Plan, resolve
from kl_conformance.runs.probe import probe
from kl_conformance.runs.selection import Selection
from kl_reference.dtype import Dtype
from kl_reports.runfile.records import CellId, Column, Header

MOST = len(Dtype)  # workers of one framework: each imports it
WORTH_DIVIDING = 200  # cells: with fewer, a second process spends its time on importing


@dataclass(frozen=True, slots=True)
class Shard:
    """What one worker is to ask.

    Parameters
    ----------
    name
        What people see: a framework, or where a user's implementation lies.
    selection
        Whom to ask.
    header
        What that sets out to judge.
    """

    name: str
    selection: Selection
    header: Header


def shards(
    selection: Selection, *, cores: int | None = None, worth_dividing: int = WORTH_DIVIDING
) -> list[Shard]:
    """Divide a selection: a share for each framework, and for each implementation a user brings.

    One of these asked alone is divided, a share for each core.

    Parameters
    ----------
    cores
        How many there are; those of this machine when None.
    worth_dividing
        The fewest cells that are divided.

    Raises
    ------
    ValueError
        What a user brings cannot be asked, or bears the name of another.
    """
    found: list[Shard] = []
    for name, part in _parts(selection):
        header = _header(part)
        if header.planned:
            found.append(Shard(name, part, header))
    if len(found) == 1 and len(found[0].header.planned) >= worth_dividing:
        return _split(found[0], cores or os.cpu_count() or 1)
    names = [name for share in found for name in share.header.implementations]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two implementations are named {name!r}; give one another name")
    return found


def _header(part: Selection) -> Header:
    """Return what a share sets out to judge.

    Of a user's kernel that is what it is like promises, where it is plainly a function or class, and nothing is
    imported to know it: its worker, which imports it, has the last word.
    """
    brought = next(filter(loading.is_user_kernel, part.implementations), "")
    if not brought:
        return headers.header(part, resolve(part).cells)
    if not part.like or not defined(brought, Path.cwd()):
        return probe(part)
    like = loading.implementation(part.like)
    framework = part.frameworks[0] if part.frameworks else like.framework
    promised = replace(like, name=brought.rpartition(":")[2], framework=framework)
    return headers.header(part, Plan.of(part, [promised]).cells)


def _split(share: Shard, cores: int) -> list[Shard]:
    """Divide the one share there is over all cores.

    With several frameworks each already has a core; one alone, as in a tox environment, would leave others idle.
    """
    columns, asked = share.header.columns, share.selection
    cells = Counter(CellId.parse(cell).column for cell in share.header.planned)
    work = {
        key: cells[key] * (REDUCED_COST if column.dtype in asked.reduced else 1.0)
        for key, column in columns.items()
    }
    brought = any(map(loading.is_user_kernel, asked.implementations))
    compiling = any(registry.framework(column.framework).compiles_per_shape for column in columns.values())
    # One dtype has to be taken apart in any event, or all but one would be idle.
    alone = len({column.dtype for column in columns.values()}) == 1
    piles = _assigned(columns, work, cores, apart=not brought and (alone or not compiling))
    if len(piles) == 1:
        return [share]
    parts = [
        # A kernel that is brought has its columns' keys from its worker, which imports it.
        replace(asked, dtypes=tuple(dict.fromkeys(columns[key].dtype for key in pile)))
        if brought
        else replace(asked, only=tuple(pile))
        for pile in piles
    ]
    return [
        Shard(f"{share.name} {place}/{len(piles)}", part, _part(share.header, pile))
        for place, (part, pile) in enumerate(zip(parts, piles, strict=True), start=1)
    ]


def _assigned(
    columns: Mapping[str, Column], work: Mapping[str, float], most: int, *, apart: bool
) -> list[list[str]]:
    """Deal columns into piles of about as much work, by dtype: what is compiled and remembered differs by dtype.

    The longest dtype is dealt first, to the pile that has least. Where a dtype may be taken ``apart``, which is dear
    where every operation compiles anew, the last columns of the highest pile go to the lowest, until all are level.
    """

    def load(pile: Iterable[str]) -> float:
        return sum(work[key] for key in pile)

    dtypes: dict[str, list[str]] = {}
    for key, column in columns.items():
        dtypes.setdefault(column.dtype, []).append(key)
    longest_first = sorted(dtypes.values(), key=load, reverse=True)
    piles, rest = longest_first[:most], longest_first[most:]
    for own in rest:
        min(reversed(piles), key=load).extend(own)
    while apart:
        if len(piles) < min(most, MOST):
            piles.append([])
        high, low = max(piles, key=load), min(piles, key=load)
        if load(low) + work[high[-1]] >= load(high):
            break
        low.append(high.pop())
    return [pile for pile in piles if pile]


def _part(header: Header, keys: Sequence[str]) -> Header:
    """Return what a header says of some columns."""
    columns = {key: column for key, column in header.columns.items() if key in keys}
    planned = tuple(cell for cell in header.planned if CellId.parse(cell).column in columns)
    return replace(header, columns=columns, planned=planned)


def _parts(selection: Selection) -> Iterator[tuple[str, Selection]]:
    """Yield the name and the selection of each share."""
    known = selection.known()
    for framework in dict.fromkeys(each.framework for each in known):
        own = [each for each in known if each.framework == framework]
        part = replace(selection, implementations=tuple(each.name for each in own), frameworks=(framework,))
        # The quick profile tests a built-in implementation in a dtype with full effort, or not at all.
        reduced = () if selection.profile is TestProfile.QUICK else selection.reduced
        dtypes = builtin_dtypes(part.dtypes, part.modes, part.profile, own)
        yield framework, replace(part, dtypes=dtypes, reduced=reduced)
    brought = list(filter(loading.is_user_kernel, dict.fromkeys(selection.implementations)))
    short = [Path(name).name for name in brought]
    for name in brought:
        shown = Path(name).name
        yield shown if short.count(shown) == 1 else name, replace(selection, implementations=(name,))
