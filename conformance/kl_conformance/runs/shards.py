"""Divides a selection into shards, one or more per framework and one or more per user kernel."""

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
from kl_reports.runfile.cell_id import CellId
from kl_reports.runfile.records import Column, Header

MAX_WORKERS = len(Dtype)  # per framework, because each imports it
MIN_CELLS = 200  # with fewer, a second process spends its time on importing


@dataclass(frozen=True, slots=True)
class Shard:
    """The columns assigned to one worker.

    Parameters
    ----------
    name
        Name for people: a framework, or the place of a user kernel.
    selection
        Selects the columns.
    header
        The header of a run of these columns.
    """

    name: str
    selection: Selection
    header: Header


def shards(selection: Selection, *, cores: int | None = None, min_cells: int = MIN_CELLS) -> list[Shard]:
    """Divide a selection into one shard per framework and one per user kernel.

    A single shard is divided again, into one per core.

    Parameters
    ----------
    cores
        Number of cores; those of this machine when None.
    min_cells
        A single shard with fewer cells is not divided.

    Raises
    ------
    ValueError
        A user kernel cannot be tested, or two implementations have the same name.
    """
    undivided: list[Shard] = []
    for name, part in _parts(selection):
        header = _header(part)
        if header.planned:
            undivided.append(Shard(name, part, header))
    if len(undivided) == 1 and len(undivided[0].header.planned) >= min_cells:
        return _split(undivided[0], cores or os.cpu_count() or 1)
    for name, count in Counter(name for shard in undivided for name in shard.header.implementations).items():
        if count > 1:
            raise ValueError(f"two implementations are named {name!r}; give one another name")
    return undivided


def _header(part: Selection) -> Header:
    """Return the header of a shard before it runs.

    A user kernel that its file plainly defines as a function or class gets the columns of the implementation that
    it follows, and is not imported; its worker imports it and determines the final columns.
    """
    kernel = next(filter(loading.is_user_kernel, part.implementations), "")
    if not kernel:
        return headers.header(part, resolve(part).cells)
    if not part.like or not defined(kernel, Path.cwd()):
        return probe(part)
    followed = loading.implementation(part.like)
    framework = part.frameworks[0] if part.frameworks else followed.framework
    assumed = replace(followed, name=kernel.rpartition(":")[2], framework=framework)
    return headers.header(part, Plan.of(part, [assumed]).cells)


def _split(shard: Shard, cores: int) -> list[Shard]:
    """Divide a single shard over the cores, which would be idle otherwise (as in a tox environment)."""
    columns, selection = shard.header.columns, shard.selection
    cells = Counter(CellId.parse(cell).column for cell in shard.header.planned)
    costs = {
        key: cells[key] * (REDUCED_COST if column.dtype in selection.reduced else 1.0)
        for key, column in columns.items()
    }
    is_user_kernel = any(map(loading.is_user_kernel, selection.implementations))
    compiles = any(registry.framework(column.framework).compiles_per_shape for column in columns.values())
    # A single dtype must be split across workers, otherwise only one worker has work.
    single_dtype = len({column.dtype for column in columns.values()}) == 1
    split_dtypes = not is_user_kernel and (single_dtype or not compiles)
    assigned = _assigned(columns, costs, cores, split_dtypes=split_dtypes)
    if len(assigned) == 1:
        return [shard]
    parts = [
        # The final column keys of a user kernel are determined by its worker, which imports it.
        replace(selection, dtypes=tuple(dict.fromkeys(columns[key].dtype for key in keys)))
        if is_user_kernel
        else replace(selection, column_keys=tuple(keys))
        for keys in assigned
    ]
    return [
        Shard(f"{shard.name} {number}/{len(assigned)}", part, _restricted(shard.header, keys))
        for number, (part, keys) in enumerate(zip(parts, assigned, strict=True), start=1)
    ]


def _assigned(
    columns: Mapping[str, Column], costs: Mapping[str, float], cores: int, *, split_dtypes: bool
) -> list[list[str]]:
    """Assign columns to shards of about equal cost, dtype by dtype: compiled code and caches differ by dtype.

    The most expensive dtype is assigned first, to the shard with the lowest cost. With ``split_dtypes``, which is
    expensive where every operation compiles per shape, the last columns of the most expensive shard then move to the
    cheapest one until the costs are balanced.
    """

    def cost(keys: Iterable[str]) -> float:
        return sum(costs[key] for key in keys)

    dtypes: dict[str, list[str]] = {}
    for key, column in columns.items():
        dtypes.setdefault(column.dtype, []).append(key)
    by_cost = sorted(dtypes.values(), key=cost, reverse=True)
    assigned, rest = by_cost[:cores], by_cost[cores:]
    for keys in rest:
        min(reversed(assigned), key=cost).extend(keys)
    while split_dtypes:
        if len(assigned) < min(cores, MAX_WORKERS):
            assigned.append([])
        high, low = max(assigned, key=cost), min(assigned, key=cost)
        if cost(low) + costs[high[-1]] >= cost(high):
            break
        low.append(high.pop())
    return [keys for keys in assigned if keys]


def _restricted(header: Header, keys: Sequence[str]) -> Header:
    columns = {key: column for key, column in header.columns.items() if key in keys}
    planned = tuple(cell for cell in header.planned if CellId.parse(cell).column in columns)
    return replace(header, columns=columns, planned=planned)


def _parts(selection: Selection) -> Iterator[tuple[str, Selection]]:
    """Yield the name and the selection of each framework, then of each user kernel."""
    builtin = selection.builtin_implementations()
    for framework in dict.fromkeys(each.framework for each in builtin):
        own = [each for each in builtin if each.framework == framework]
        part = replace(selection, implementations=tuple(each.name for each in own), frameworks=(framework,))
        # The quick profile tests a built-in implementation in a dtype with full effort, or not at all.
        reduced = () if selection.profile is TestProfile.QUICK else selection.reduced
        dtypes = builtin_dtypes(part.dtypes, part.modes, part.profile, own)
        yield framework, replace(part, dtypes=dtypes, reduced=reduced)
    kernels = list(filter(loading.is_user_kernel, dict.fromkeys(selection.implementations)))
    short = Counter(Path(kernel).name for kernel in kernels)
    for kernel in kernels:
        name = Path(kernel).name
        yield name if short[name] == 1 else kernel, replace(selection, implementations=(kernel,))
