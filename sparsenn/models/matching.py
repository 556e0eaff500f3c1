"""Which arrays of a source are which of a model, by their names and shapes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, final

__all__ = ["Shape", "match", "natural"]

Shape = tuple[int, ...]
_EMBEDDING = "emb(ed(ding)?s?)?(_table)?"
_ROLES = {  # by the last word of a name that is no number, or the name of our layer
    "tokens": f"wte|((tok|token|word)s?_)?{_EMBEDDING}|embed_tokens",
    "positions": f"wpe|pos(ition(al)?)?_?({_EMBEDDING}|encoding)|embed_positions",
    **{
        role: f"(to_|linear_|w_?)?({words})(_?(proj|projection|lin|linear))?"
        for role, words in {
            "query": "q|query", "key": "k|key", "value": "v|value",
            "output": "o|out|output",
        }.items()
    },
}  # fmt: skip
_MOST_WAYS = 1000  # that are looked at
_SHOWN = 5  # of a list in an error


def natural(name: str) -> list[tuple[int, str]]:
    """A key to sort by, numbers by value."""
    return [
        (int(part), "") if part.isdigit() else (-1, part)
        for part in re.split(r"([0-9]+)", name)
    ]


@final
class _Part:
    """The arrays of one module, of the model or of the source."""

    def __init__(
        self, name: str, shapes: Mapping[str, tuple[Shape, ...]], layer: str
    ) -> None:
        self.name = name
        self.shapes = dict(sorted(shapes.items()))  # by last part of the name
        words = re.sub("[0-9]+", "#", name)
        last = ([w for w in name.split(".") if not w.isdigit()] or [""])[-1]
        role = next(
            (role for role, pattern in _ROLES.items() for word in (last, layer)
             if re.fullmatch(pattern, word.lower())), "",
        )  # fmt: skip
        self.flat = tuple((kind, _flat(s[-1])) for kind, s in self.shapes.items())
        # What must be the same in names that match, from the strictest rule on.
        self.says = (words if words.strip("#.") else "", role, "anything")
        # Those of one family have the same shapes, and names that differ in numbers.
        self.family = (words, *self.shapes.items())

    def array(self, kind: str) -> str:
        return f"{self.name}.{kind}" if self.name else kind

    def takes(self, other: _Part) -> bool:
        """Whether each array of one of the source, of the same kinds, fits."""
        return all(other.shapes[kind][0] in s for kind, s in self.shapes.items())

    def __str__(self) -> str:
        return repr(self.name or "+".join(self.shapes))


def _flat(shape: Shape) -> Shape:
    return (shape[0], math.prod(shape[1:])) if len(shape) > 2 else shape


def _parts(
    shapes: Mapping[str, tuple[Shape, ...]], layers: Mapping[str, str]
) -> list[_Part]:
    """Arrays by module, in order; `layers` has the classes of modules, if known."""
    found: dict[str, dict[str, tuple[Shape, ...]]] = {}
    for name, allowed in shapes.items():
        prefix, _, kind = name.rpartition(".")
        found.setdefault(prefix, {})[kind] = allowed
    return [_Part(name, inside, layers.get(name, "")) for name, inside in found.items()]


def _grouped(pairs: Iterable[tuple[Any, _Part]]) -> dict[Any, list[_Part]]:
    found: dict[Any, list[_Part]] = {}
    for key, part in pairs:
        found.setdefault(key, []).append(part)
    return found


def _pair(
    ours: Sequence[_Part], theirs: Sequence[_Part], ordered: bool
) -> dict[_Part, _Part]:
    """Which of theirs each of ours is; first of all those whose names say so."""
    found: dict[_Part, _Part] = {}
    by_name = [sorted(side, key=lambda p: natural(p.name)) for side in (ours, theirs)]
    for level, sides in enumerate((by_name, (ours, theirs), (ours, theirs))):
        done = {*found, *found.values()}
        mine, yours = (
            _grouped(((p.says[level], p.flat), p) for p in side
                     if p.says[level] and p not in done)
            for side in sides
        )  # fmt: skip
        for key in mine:
            found.update(_pair_alike(mine[key], yours.get(key, []), ordered))
    return found


def _pair_alike(
    ours: Sequence[_Part], theirs: Sequence[_Part], ordered: bool
) -> dict[_Part, _Part]:
    """The same of parts that all have the same arrays; empty if it is not clear."""
    if len(ours) != len(theirs):
        return {}
    homes = _only_way(ours, theirs)
    if homes is None and not ordered:
        return {}
    found: dict[_Part, _Part] = {}
    free = dict.fromkeys(theirs)
    for part in ours:
        for other in free:
            if part.takes(other) and (not homes or homes[part.family] == other.family):
                found[part] = other
                del free[other]
                break
    return found


def _only_way(ours: Sequence[_Part], theirs: Sequence[_Part]) -> dict[Any, Any] | None:
    """Where families of ours go, each within one of theirs, if there is one way."""
    mine = sorted(_grouped((p.family, p) for p in ours).values(), key=len, reverse=True)
    yours = list(_grouped((p.family, p) for p in theirs).values())
    ways: list[tuple[tuple[int, ...], tuple[int, ...]]]
    ways = [((), tuple(map(len, yours)))]  # where they go, and what room is left
    for family in mine:
        ways = [
            ((*homes, i), (*room[:i], room[i] - len(family), *room[i + 1 :]))
            for homes, room in ways
            for i in range(len(yours))
            if len(family) <= room[i] and family[0].takes(yours[i][0])
        ]
        if len(ways) > _MOST_WAYS:
            return None
    if len(ways) != 1:
        return None
    homes, _ = ways[0]
    return {
        family[0].family: yours[i][0].family
        for family, i in zip(mine, homes, strict=True)
    }


def match(
    ours: Mapping[str, tuple[Shape, ...]],
    layers: Mapping[str, str],
    source: Mapping[str, Shape],
    names: Mapping[str, str],
    *,
    ordered: bool,
    where: str,
) -> dict[str, str]:
    """Name in a source of each array of a model; all that does not match in one error.

    Parameters
    ----------
    ours : mapping
        Shapes that each array of the model may have in the source, the flattened last.
    layers : mapping
        Classes of the model's modules.
    source : mapping
        Shapes of the arrays of the source.
    names : mapping
        As of `import_dense`.
    ordered : bool
        Whether the order of the source means something.
    where : str
        Name of the source, for errors.
    """
    theirs = {name: (shape,) for name, shape in source.items()}
    matched: dict[str, str] = {}
    seen: set[str] = set()  # of ours: those of `names`
    wrong: list[str] = []
    unclear: set[str] = set()

    def match_parts(mine: Iterable[str], yours: Iterable[str]) -> None:
        parts = _parts({n: ours[n] for n in mine}, layers)
        others = _parts({n: theirs[n] for n in yours}, {})
        found = _pair(parts, others, ordered)
        for part, other in found.items():
            matched.update((part.array(k), other.array(k)) for k in part.shapes)
        for flat, some, candidates in _unclear(parts, others, found):
            wrong.append(
                f"it is not clear which of {_listed(map(str, candidates))} is "
                f"{_listed(map(str, some))} of the model ("
                + ", ".join(f"{kind} {shape}" for kind, shape in flat)
                + ")"
            )
            unclear.update(p.array(k) for p in [*some, *candidates] for k in p.shapes)

    # Longer names first: those of parts of what shorter ones name.
    for here, there in sorted(names.items(), key=lambda pair: -len(pair[0])):
        mine = [n for n in ours if _within(n, here)]
        yours = [n for n in theirs if _within(n, there)]
        for what, name, inside in (("model", here, mine), ("source", there, yours)):
            if not inside:
                wrong.append(f"the {what} has no array or module {name!r}, in names")
        mine = [n for n in mine if n not in seen]
        seen.update(mine)
        # What has been taken may be taken again if there is nothing else.
        yours = [n for n in yours if n not in matched.values()] or yours
        if len(mine) == len(yours) == 1:
            matched[mine[0]] = yours[0]
            if theirs[yours[0]][0] not in ours[mine[0]]:
                wrong.append(
                    f"{yours[0]!r} has shape {theirs[yours[0]][0]}, {mine[0]!r} "
                    f"{ours[mine[0]][0]}"
                )
        else:
            match_parts(mine, yours)
    used = set(matched.values())
    rest = [n for n in ours if n not in seen]
    match_parts(rest, [n for n in theirs if n not in used])
    if len(wrong) > _SHOWN:
        wrong[_SHOWN:] = [f"and {len(wrong) - _SHOWN} more"]
    for what, side, done in (
        ("model", ours, {*matched, *unclear}),
        ("source", theirs, {*matched.values(), *unclear}),
    ):
        left = [f"{n!r} {s[0]}" for n, s in side.items() if n not in done]
        if left:
            wrong.append(
                f"{len(left)} of the {len(side)} arrays of the {what} fit nothing: "
                + _listed(left)
            )
    if wrong:
        raise ValueError(
            f"{where} does not fit the model: "
            + "; ".join(wrong)
            + "; say what belongs together by names={module or array of the model: "
            "module or array of the source}"
        )
    return {name: matched[name] for name in ours}


def _unclear(
    ours: Sequence[_Part], theirs: Sequence[_Part], found: Mapping[_Part, _Part]
) -> Iterator[tuple[Any, list[_Part], list[_Part]]]:
    """What was not matched though it could be: arrays, of ours, of theirs."""
    left = _grouped((p.flat, p) for p in ours if p not in found)
    over = _grouped((p.flat, p) for p in theirs if p not in found.values())
    for flat, some in left.items():
        others = [p for p in over.get(flat, []) if any(q.takes(p) for q in some)]
        if others:
            yield flat, some, others


def _within(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def _listed(some: Iterable[str]) -> str:
    some = list(some)
    more = len(some) - _SHOWN
    return ", ".join(some[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
