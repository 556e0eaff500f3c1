"""Pictures of groups: accuracy against density and cost, and against the epoch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsenn.plot import COLOURS, figure
from sparsenn.report.groups import Group, facets
from sparsenn.report.statistics import Estimate, estimate

_MARKERS = "os^DvPX"
_GREY = "#555555"


def compare(found: Sequence[Group]) -> Any:
    """Accuracy of every group against its density and against its training FLOPs.

    A row of panels for each combination of what varies beside method, start and
    density. With fewer than three densities the left panel is a list of methods, each
    with its interval. Bars are 95 % intervals over the seeds; dense is the grey line.

    Parameters
    ----------
    found : sequence of Group

    Returns
    -------
    matplotlib Figure
    """
    parts = facets(found)
    styles = _styles(found)
    listed = all(len(_densities(part)) < 3 for part in parts.values())
    lines = max((len(part) for part in parts.values()), default=1)
    height = max(3.6, 0.9 + 0.24 * lines) if listed else 3.8
    fig = figure(11.0, height * max(len(parts), 1))
    for number, (title, part) in enumerate(parts.items()):
        left = fig.add_subplot(len(parts), 2, 2 * number + 1)
        right = fig.add_subplot(len(parts), 2, 2 * number + 2)
        (_list if listed else _by_density)(left, part, styles)
        _by_flops(right, part, styles)
        for ax in (left, right):
            _plain(ax)
        if title:
            left.set_title(title, loc="left", fontsize=11)
    _legend(fig, styles)
    return fig


def learning_curves(found: Sequence[Group], column: str = "test_accuracy") -> Any:
    """Means over the seeds after every epoch; 95 % intervals as bands if they are few.

    Parameters
    ----------
    found : sequence of Group
        Their histories are read from the directories of the runs.
    column : str
        Of the histories.

    Returns
    -------
    matplotlib Figure
        A panel for each density (columns) and combination of what else varies (rows).
    """
    parts = facets(found)
    styles = _styles(found)
    panels = {title: _densities(part) or [1.0] for title, part in parts.items()}
    columns = max((len(densities) for densities in panels.values()), default=1)
    fig = figure(1.6 + 4.2 * columns, 3.6 * max(len(parts), 1))
    for number, (title, part) in enumerate(parts.items()):
        for place, density in enumerate(panels[title]):
            ax = fig.add_subplot(len(parts), columns, number * columns + place + 1)
            inside = [g for g in part if g.asked in (density, None)]
            _draw_curves(ax, inside, styles, column)
            name = f"density {100 * density:g} %"
            ax.set_title(f"{title}, {name}" if title else name, loc="left", fontsize=11)
            ax.set_xlabel("epoch")
            if not place:
                ax.set_ylabel(f"{column.replace('_', ' ')} (%)")
            _plain(ax)
    _legend(fig, styles)
    return fig


def _styles(found: Sequence[Group]) -> dict[str, dict[str, Any]]:
    """Colour, marker and dashes of each label; dense is grey."""
    styles: dict[str, dict[str, Any]] = {}
    for label in dict.fromkeys(group.label for group in found):
        i = len(styles) - ("dense" in styles)
        style = {
            "color": COLOURS[i % len(COLOURS)],
            "marker": _MARKERS[(i + i // len(COLOURS)) % len(_MARKERS)],
            "linestyle": ("-", "--", ":")[i // len(COLOURS) % 3],
        }
        if label == "dense":
            style = {"color": _GREY, "marker": "s", "linestyle": "-"}
        styles[label] = style
    return styles


def _densities(part: Sequence[Group]) -> list[float]:
    """The densities that were asked for, falling."""
    return sorted({g.asked for g in part if g.asked is not None}, reverse=True)


def _accuracy(group: Group) -> tuple[float, float]:
    """Mean and half-width in per cent; zero where there is no interval."""
    found = group.estimate("accuracy") or Estimate(math.nan, None, 0)
    return 100 * found.mean, 100 * (found.half or 0.0)


def _limits(part: Sequence[Group]) -> tuple[float, float]:
    """Of the accuracy: all means, and of wide intervals no more than is readable."""
    values = [_accuracy(group) for group in part]
    values = [value for value in values if math.isfinite(value[0])]
    if not values:
        return 0.0, 100.0
    means = [mean for mean, _ in values]
    room = max(max(means) - min(means), 1.0)
    low = max(min(mean - half for mean, half in values), min(means) - 0.7 * room)
    high = min(max(mean + half for mean, half in values), max(means) + 0.7 * room)
    return max(low, 0.0) - 0.05 * room, min(high, 100.0) + 0.05 * room


def _list(ax: Any, part: Sequence[Group], styles: dict[str, dict[str, Any]]) -> None:
    """A line a group, the most accurate of each density at the top."""
    dense = [group for group in part if group.method == "dense"]
    others = [group for group in part if group.method != "dense"]
    others.sort(key=lambda g: (-(g.asked or 1.0), -_accuracy(g)[0]))
    several = len(_densities(part)) > 1
    names: list[str] = []
    places: list[float] = []
    at = 0.0
    for asked, inside in itertools.groupby(others, lambda g: g.asked):
        at += 0.6 if places else 0.0
        for group in inside:
            mean, half = _accuracy(group)
            style = {**styles[group.label], "linestyle": "none"}
            ax.errorbar(mean, at, xerr=half or None, capsize=2, markersize=5, **style)
            density = group.density if asked is None else asked
            text = f"{group.label}, {100 * density:.3g} %"
            names.append(text if several or asked is None else group.label)
            places.append(at)
            at += 1
    for group in dense:
        mean, half = _accuracy(group)
        ax.axvspan(mean - half, mean + half, color=_GREY, alpha=0.15, linewidth=0)
        ax.axvline(mean, color=_GREY, linewidth=1.2)
    ax.set_xlim(*_limits(part))
    ax.set_yticks(places, labels=names, fontsize=8.5)
    ax.invert_yaxis()
    ax.set_xlabel("test accuracy (%)")
    ax.grid(axis="x", color="#e6e6e6", linewidth=0.8)


def _by_density(
    ax: Any, part: Sequence[Group], styles: dict[str, dict[str, Any]]
) -> None:
    names = list(styles)
    for label, inside in _lines(part):
        if label == "dense":
            for group in inside:
                mean, half = _accuracy(group)
                ax.axhspan(mean - half, mean + half, color=_GREY, alpha=0.15)
                ax.axhline(mean, color=_GREY, linewidth=1.2)
            continue
        # Bars at one density side by side, not over each other.
        aside = 1.03 ** (names.index(label) - (len(names) - 1) / 2)
        x = [100 * group.density * aside for group in inside]
        _bars(ax, x, inside, styles[label])
    _log(ax, "{x:g}")
    ax.set_xlabel("density (%)")
    ax.set_ylim(*_limits(part))
    ax.set_ylabel("test accuracy (%)")
    ax.grid(color="#e6e6e6", linewidth=0.8)


def _by_flops(
    ax: Any, part: Sequence[Group], styles: dict[str, dict[str, Any]]
) -> None:
    for label, inside in _lines(part):
        costs = [group.estimate("train_flops") for group in inside]
        x = [cost.mean if cost else math.nan for cost in costs]
        _bars(ax, x, inside, styles[label])
    _log(ax)
    ax.set_xlabel("floating-point operations of training, cumulative")
    ax.set_ylim(*_limits(part))
    ax.set_ylabel("test accuracy (%)")
    ax.grid(color="#e6e6e6", linewidth=0.8)


def _log(ax: Any, text: str | None = None) -> None:
    """A logarithmic x axis whose labels do not run into each other."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    ax.set_xscale("log")
    low, high = ax.get_xlim()
    few = high < 30 * low
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    ax.xaxis.set_minor_formatter(NullFormatter())
    if text is not None:
        ax.xaxis.set_major_formatter(StrMethodFormatter(text))


def _bars(
    ax: Any, x: Sequence[float], inside: Sequence[Group], style: dict[str, Any]
) -> None:
    values = [_accuracy(group) for group in inside]
    y, half = [mean for mean, _ in values], [half for _, half in values]
    bars = half if any(half) else None
    ax.errorbar(x, y, yerr=bars, capsize=2, markersize=5, linewidth=1.3, **style)


def _lines(part: Sequence[Group]) -> list[tuple[str, list[Group]]]:
    """Groups of one label, by density."""
    found: dict[str, list[Group]] = {}
    for group in part:
        found.setdefault(group.label, []).append(group)
    return [(name, sorted(g, key=lambda g: g.density)) for name, g in found.items()]


def _draw_curves(
    ax: Any, inside: Sequence[Group], styles: dict[str, dict[str, Any]], column: str
) -> None:
    late: list[float] = []
    for group in inside:
        curves = [curve for run in group.runs if (curve := run.curve(column))]
        points = [estimate(values) for values in zip(*curves, strict=False)]
        if not points:
            continue
        x = np.arange(1, len(points) + 1)
        y = 100 * np.array([point.mean for point in points])
        half = 100 * np.array([point.half or 0.0 for point in points])
        style = styles[group.label]
        every = max(1, len(points) // 8)
        ax.plot(x, y, linewidth=1.4, markersize=4, markevery=every, **style)
        if half.any() and len(inside) <= 4:
            ax.fill_between(
                x, y - half, y + half, color=style["color"], alpha=0.12, linewidth=0
            )
        late += [float(value) for value in y[len(y) // 8 :] if math.isfinite(value)]
    if late:
        pad = max(0.06 * (max(late) - min(late)), 0.2)
        ax.set_ylim(min(late) - pad, max(late) + pad)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(axis="y", color="#e6e6e6", linewidth=0.8)


def _legend(fig: Any, styles: dict[str, dict[str, Any]]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=name, **style) for name, style in styles.items()]
    if handles:
        fig.legend(handles=handles, loc="outside right upper", frameon=False)


def _plain(ax: Any) -> None:
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(_GREY)
    ax.tick_params(colors=_GREY, labelcolor="black")
    ax.set_axisbelow(True)
