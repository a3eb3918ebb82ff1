"""Deriving a schedule: of the nests that a Program's algebra allows, the one that moves the fewest words through M.

A nest cuts the program into phases: what a cut stores, a later phase reads; what is not cut never leaves fast memory, or
is computed again. Each phase takes tiles of one or two axes, streams another, and finishes its reductions in as few
passes as algebra allows (`schedule.running`). Cuts, orders, passes and tiles are compared by their counted traffic.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product

from attometer.count.derived import Derived, derived_of
from attometer.count.nest_search import ENOUGH, Chosen, Search, Shared, Split, cost
from attometer.errors import AttometerError, positive_int, unknown
from attometer.mechanisms.subject import Subject, subject
from attometer.program.program import Program
from attometer.schedule.cascade import Cascade
from attometer.schedule.reading import Windows
from attometer.schedule.running import MERGED


def derive(
    what: Subject, /, M: int, splits: int | Mapping[str, int] = 1, processors: int | None = None, **sizes: int
) -> Derived:
    """Return the nest that moves the fewest words of `what` through a fast memory of M words.

    Args:
        what: a Program of maps, products, sums and reductions over named axes; or a mechanism, its name, or a file of
            notation.
        M: words of fast memory.
        splits: the chunks that run at once, each with a fast memory of M words, into which the longest axis of which partial
            results can be merged is cut, or the axis that is named, as in {"j": 16}.
        processors: cut an axis into as few chunks, a power of two, as let depth be at most work / processors; into as many as
            make the nest least deep where none does, and into none where it is not needed.
        **sizes: sizes by name at which nests are compared; those left out are typical ones (`TYPICAL`), said in the notes.

    Returns:
        The schedule with its tiles, traffic, and the reductions that forced a pass of their own.

    Raises:
        AttometerError: an operation that no nest runs, an unknown size, an M in which nothing fits, or chunks of what
            cannot be merged.

    >>> from attometer.mechanisms import mechanism
    >>> found = derive(mechanism("softmax").program, M=98304, n=65536, d=64, b=1, h=1)
    >>> found.words, found.stored, found.passes
    (738197504, (), (1,))
    >>> split = derive(mechanism("decode").program, M=98304, splits=16, m=65536, d=64, b=1, h=1)
    >>> split.words, split.depth, split.merge.associative
    (8391808, 221, True)
    """
    program = subject(what).program
    positive_int("M", M)
    if processors is not None:
        positive_int("processors", processors)
        if splits != 1:
            raise AttometerError("splits and processors both say into how many chunks; give one of them")
        return _for_processors(program, M, processors, sizes)
    ((axis, pieces),) = splits.items() if isinstance(splits, Mapping) and len(splits) == 1 else ((None, splits),)
    if isinstance(pieces, Mapping):
        raise AttometerError(f"splits cuts one axis, got {', '.join(map(str, pieces)) or 'none'}")
    positive_int("splits", pieces)
    if pieces == 1 and axis is None:
        return min(searches(program, M, sizes), key=_worth)
    search, best = _split(program, M, sizes, axis)
    return derived_of(search, search.cut(best, pieces))


def _worth(found: Derived) -> tuple[int, int]:
    return found.words, found.footprint


def _for_processors(program: Program, M: int, processors: int, sizes: Mapping[str, int]) -> Derived:
    """Return the nest of the fewest chunks whose depth is at most its work over the processors, else the least deep one."""
    plain = min(searches(program, M, sizes), key=_worth)
    found, deep = plain, f"depth {plain.depth:,}"
    if plain.depth * processors > plain.work:
        try:
            search, best = _split(program, M, sizes, None)
        except AttometerError as error:
            return replace(plain, notes=(*plain.notes, f"{deep} is more than work / {processors:,}, and {error}"))
        assert search.split is not None
        pieces = 2
        while found.depth * processors > found.work and pieces <= search.extent[search.split.axis]:
            found = min(found, derived_of(search, search.cut(best, pieces)), key=lambda each: each.depth)
            pieces *= 2
    enough = found.depth * processors <= found.work
    asked = f"work / {processors:,} = {found.work // processors:,} operations"
    said = (
        f"depth {found.depth:,} is at most {asked}"
        if enough
        else f"no number of chunks makes depth as little as {asked}"
    )
    return replace(found, notes=(*found.notes, said if found is plain else f"{said}; in one piece, {deep}"))


def _split(program: Program, M: int, sizes: Mapping[str, int], axis: str | None) -> tuple[Search, list[Chosen]]:
    """Return the best phases with an axis in two chunks, which any other number replaces, and what found them."""
    known = Search(program, M, sizes)
    summed = dict.fromkeys(a for s in known.cascade.steps if s.kind in MERGED for a in s.summed)
    if axis is not None and axis not in summed:
        raise unknown("summed axis", axis, list(summed))
    longest = sorted(summed, key=lambda a: -known.extent[a])
    for each in [axis] if axis else longest:
        try:
            begun = _begun(program, M, sizes, Split(each, 2))
        except AttometerError:
            continue  # what cannot be merged is in no nest
        found = [(search, search.descended(best, ENOUGH)) for search, best in begun]
        if found := [(search, best) for search, best in found if any(phase.plan.split for phase in best)]:
            return min(found, key=lambda pair: cost(pair[1]))
    along = axis or ", ".join(longest) or "any axis"
    raise AttometerError(
        f"no partial results along {along} merge within M = {M} words: one pass must fold them, and store nothing on its way"
    )


def searches(program: Program, M: int, sizes: Mapping[str, int]) -> Iterator[Derived]:
    """Yield the best nest for each way to read what is at other places: through windows, or word by word, views or copies.

    Raises the AttometerError of the last where none derives.
    """
    enough = ENOUGH
    for search, best in sorted(
        _begun(program, M, sizes), key=lambda each: cost(each[1])
    ):  # the most promising way first, while there is time
        yield derived_of(search, search.descended(best, enough))
        enough -= search.spent


def _begun(
    program: Program, M: int, sizes: Mapping[str, int], split: Split | None = None
) -> list[tuple[Search, list[Chosen]]]:
    ways: tuple[Windows, ...] = ("none", "images", "tables")
    tried, begun = dict[Cascade, AttometerError | None](), list[tuple[Search, list[Chosen]]]()
    shared = Shared()
    for windows, views in product(ways, (False, True)):
        search = Search(program, M, sizes, windows, views, split, shared=shared)
        if search.cascade in tried:
            continue
        tried[search.cascade] = None
        try:
            begun.append((search, search.begun()))
        except AttometerError as error:
            tried[search.cascade] = error
    if not begun:
        raise next(error for error in reversed(tried.values()) if error is not None)
    return begun
