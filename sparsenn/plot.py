"""Pictures of training and of what a network connects to.

Matplotlib (``pip install 'sparsenn[plot]'``) is imported when a picture is drawn, and
only its object interface is used: no figure is registered, no backend is chosen and no
setting of the caller's changes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np

#: Okabe and Ito's colours, told apart with every common colour-vision deficiency.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_GREY = "#555555"
_HEAT = "cividis"  # of even lightness, and the same to red-green colour-blind readers


def available() -> bool:
    """Whether matplotlib can be imported."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def figure(width: float, height: float, *, arrange: bool = True) -> Any:
    """An unregistered matplotlib figure of a size in inches.

    Parameters
    ----------
    width, height : float
    arrange : bool
        Let matplotlib find room for labels; otherwise axes are placed by hand.

    Raises
    ------
    ImportError
        If matplotlib is missing; says how to get it.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "pictures need matplotlib: pip install 'sparsenn[plot]'"
        ) from error
    layout: Any = "constrained" if arrange else None
    fig = Figure(figsize=(width, height), layout=layout, facecolor="white")
    FigureCanvasAgg(fig)
    return fig


def save(fig: Any, path: str | os.PathLike[str], dpi: int = 120) -> None:
    """Writes a figure as PNG, whole or not at all; equal figures are equal bytes."""
    from sparsenn.files import atomic_write

    buffer = BytesIO()
    fig.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    with atomic_write(path) as file:
        file.write(buffer.getvalue())


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    xlabel: str = "epoch",
    ylabel: str = "test accuracy",
    title: str = "",
    percent: bool = True,
    ax: Any = None,
) -> Any:
    """One line a series, named at its right end.

    Parameters
    ----------
    series : mapping of str to (x, y)
        For example the epochs and test accuracies of each network.
    xlabel, ylabel, title : str
        What the axes show.
    percent : bool
        Values of y are fractions, shown as percentages.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Figure
    """
    fig = figure(6.4, 4.0) if ax is None else ax.figure
    ax = fig.add_subplot() if ax is None else ax
    ends = []
    for i, (name, (x, y)) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        values = np.asarray(y, dtype=float) * (100 if percent else 1)
        every = max(1, len(values) // 10)
        ax.plot(x, values, color=colour, linewidth=1.8, marker=_MARKERS[i % 7],
                markersize=4.5, markevery=every, label=name)  # fmt: skip
        if len(values):
            ends.append((float(values[-1]), name, colour))
    low, high = _focus([np.asarray(y, dtype=float) for _, y in series.values()])
    scale = 100 if percent else 1
    ax.set_ylim(low * scale, high * scale)
    _label_ends(ax, ends)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(f"{ylabel} (%)" if percent else ylabel)
    ax.xaxis.get_major_locator().set_params(integer=True)
    _plain(ax, title)
    ax.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    ax.set_axisbelow(True)
    return fig


def _focus(columns: list[np.ndarray]) -> tuple[float, float]:
    """Limits of y that show where the curves end up, not only where they start."""
    finite = [column[np.isfinite(column)] for column in columns]
    finite = [column for column in finite if column.size]
    if not finite:
        return 0.0, 1.0
    late = np.concatenate([column[column.size // 8 :] for column in finite])
    low, high = float(late.min()), float(late.max())
    pad = max(0.08 * (high - low), 0.002)
    return low - pad, high + pad


def _label_ends(ax: Any, ends: list[tuple[float, str, str]]) -> None:
    """Names at the lines' right ends, moved apart where they would overlap."""
    low, high = ax.get_ylim()
    gap = 0.062 * (high - low)
    placed = -np.inf
    for value, name, colour in sorted(ends):
        placed = max(value, placed + gap)
        ax.annotate(name, xy=(1.0, placed), xycoords=ax.get_yaxis_transform(),
                    xytext=(6, 0), textcoords="offset points", color=colour,
                    va="center", ha="left", fontsize=10)  # fmt: skip


def _plain(ax: Any, title: str) -> None:
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(_GREY)
    ax.tick_params(colors=_GREY, labelcolor="black")
    if title:
        ax.set_title(title, loc="left", fontsize=11)


def connections_per_input(pattern: Any) -> np.ndarray:
    """How many connections leave each input of a layer.

    Parameters
    ----------
    pattern : SparsePattern
        Of shape (n_out, n_in).

    Returns
    -------
    array of int, shape (n_in,)
    """
    n_rows, n_cols = pattern.shape
    if pattern.is_full:
        return np.full(n_cols, n_rows, dtype=np.int64)
    return np.bincount(pattern.positions()[1], minlength=n_cols)


def pixel_maps(
    maps: Mapping[str, np.ndarray],
    *,
    title: str = "",
    label: str = "connections of the pixel",
) -> Any:
    """Maps of the input side by side on one colour scale.

    Parameters
    ----------
    maps : mapping of str to array (height, width)
        For example connections per pixel before and after training.
    title, label : str
        Above the maps, and beside the colour scale.

    Returns
    -------
    matplotlib Figure
    """
    side, gap = 2.6, 0.15
    width = len(maps) * (side + gap) + 1.1
    fig = figure(width, side + 0.85, arrange=False)
    _place_maps(fig, maps, title, label, left=0.15, bottom=0.4, side=side, gap=gap)
    return fig


def curves_and_maps(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    maps: Mapping[str, np.ndarray],
    *,
    titles: tuple[str, str] = ("", ""),
    label: str = "connections of the pixel",
) -> Any:
    """`curves` on the left, `pixel_maps` on the right.

    Parameters
    ----------
    series, maps
        As those functions take them.
    titles : tuple of two str
        Above the curves and above the maps.
    label : str
        Beside the colour scale.

    Returns
    -------
    matplotlib Figure
    """
    width, height, side = 11.7, 3.5, 2.25
    fig = figure(width, height, arrange=False)
    axes = fig.add_axes((0.65 / width, 0.55 / height, 3.75 / width, 2.5 / height))
    curves(series, title=titles[0], ax=axes)
    bottom = 0.55 + 2.5 - side
    _place_maps(
        fig, maps, titles[1], label, left=5.85, bottom=bottom, side=side, gap=0.15
    )
    return fig


def _place_maps(
    fig: Any,
    maps: Mapping[str, np.ndarray],
    title: str,
    label: str,
    *,
    left: float,
    bottom: float,
    side: float,
    gap: float,
) -> None:
    """Maps, `side` inches high and wide, and one colour bar as high as they are."""
    width, height = (float(n) for n in fig.get_size_inches())
    top = max((float(np.max(image)) for image in maps.values()), default=1.0)
    at = left
    for name, image in maps.items():
        ax = fig.add_axes(
            (at / width, bottom / height, side / width, side / height), anchor="NW"
        )
        shown = ax.imshow(
            image, cmap="viridis", vmin=0, vmax=max(top, 1), interpolation="nearest"
        )
        ax.set_xlabel(name, labelpad=6)
        ax.set_xticks([])
        ax.set_yticks([])
        for spine in ax.spines.values():
            spine.set_visible(False)
        if at == left and title:
            ax.set_title(title, loc="left", fontsize=11)
        at += side + gap
    bar_axes = fig.add_axes((at / width, bottom / height, 0.13 / width, side / height))
    bar = fig.colorbar(shown, cax=bar_axes)
    bar.set_label(label)
    bar.outline.set_visible(False)
    bar_axes.tick_params(color=_GREY)
    bar_axes.yaxis.get_major_locator().set_params(integer=True)


def layer_densities(
    names: Sequence[str],
    densities: Sequence[float],
    counts: Sequence[int],
    *,
    title: str = "",
) -> Any:
    """A bar a layer: which share of its weights exists, and how many those are.

    Parameters
    ----------
    names : sequence of str
        Layers from the input on.
    densities : sequence of float
        In [0, 1].
    counts : sequence of int
        Connections, written beside the bars.
    title : str
        Above the bars.

    Returns
    -------
    matplotlib Figure
    """
    fig = figure(6.4, 0.9 + 0.42 * max(len(names), 1))
    ax = fig.add_subplot()
    at = np.arange(len(names))
    values = 100 * np.asarray(densities, dtype=float)
    ax.barh(at, values, color=COLOURS[0], height=0.62)
    for y, value, number in zip(at, values, counts, strict=True):
        ax.annotate(f"{number:,}", xy=(value, y), xytext=(4, 0), va="center",
                    textcoords="offset points", fontsize=9, color=_GREY)  # fmt: skip
    ax.set_yticks(at, labels=list(names))
    ax.invert_yaxis()
    ax.set_xlim(0, min(max(float(values.max(initial=1.0)) * 1.18, 1.0), 118.0))
    ax.set_xlabel("density (%), with the number of connections")
    _plain(ax, title)
    ax.tick_params(axis="y", length=0)
    return fig


def heatmap(
    values: Any,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    last: tuple[str, Sequence[float]] | None = None,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    label: str = "test accuracy",
    percent: bool = True,
) -> Any:
    """A table of numbers in colours that everyone can tell apart, each written out.

    Parameters
    ----------
    values : array, shape (rows, columns)
        NaN where there is nothing.
    rows, columns : sequence of str
        Names of the lines.
    last : tuple of (str, sequence of float), optional
        Name and values, one a row, of a column set apart at the right.
    xlabel, ylabel, title : str
        Below, beside and above the table.
    label : str
        What the numbers are, beside the colour scale.
    percent : bool
        Values are fractions, shown as percentages.

    Returns
    -------
    matplotlib Figure
    """
    table = np.asarray(values, dtype=float)
    if table.shape != (len(rows), len(columns)):
        raise ValueError(
            f"values has shape {table.shape}, there are names of {len(rows)} rows and "
            f"{len(columns)} columns"
        )
    at = np.arange(len(columns), dtype=float)
    names = list(columns)
    if last is not None:
        column = np.asarray(last[1], dtype=float)
        if column.shape != (len(rows),):
            raise ValueError(
                f"the last column has shape {column.shape}, there are {len(rows)} rows"
            )
        table = np.column_stack([table, column])
        at = np.append(at, len(columns) + 0.4)  # apart from the others
        names.append(last[0])
    scale = 100.0 if percent else 1.0
    table = table * scale
    shown = table[np.isfinite(table)]
    low, high = (shown.min(), shown.max()) if shown.size else (0.0, 1.0)
    high = high if high > low else low + 1.0
    fig = figure(1.9 + 0.56 * max(len(names), 1), 1.3 + 0.36 * max(len(rows), 1))
    ax = fig.add_subplot()
    _draw_cells(ax, table, at, low, high)
    ax.set_xticks(at, labels=names, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(np.arange(len(rows)), labels=list(rows))
    ax.set_xlim(-0.5, (at[-1] if len(at) else 0) + 0.5)
    ax.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    _plain(ax, title)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale_of = ScalarMappable(Normalize(low, high), cmap=_HEAT)
    bar = fig.colorbar(scale_of, ax=ax, fraction=0.05, pad=0.02)
    bar.set_label(f"{label} (%)" if percent else label)
    bar.outline.set_visible(False)
    return fig


def _draw_cells(
    ax: Any, table: np.ndarray, at: np.ndarray, low: float, high: float
) -> None:
    """One rectangle and number a cell."""
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    colours = colormaps[_HEAT]
    for (i, j), value in np.ndenumerate(table):
        if not np.isfinite(value):
            continue
        level = (value - low) / (high - low)
        corner = (float(at[j]) - 0.5, i - 0.5)
        cell = Rectangle(corner, 1, 1, facecolor=colours(level), edgecolor="white")
        ax.add_patch(cell)
        ax.annotate(_short_number(value, high - low), xy=(at[j], i), ha="center",
                    va="center", fontsize=8,
                    color="black" if level > 0.55 else "white")  # fmt: skip


def _short_number(value: float, span: float) -> str:
    """As many digits as the span of all numbers gives a meaning to."""
    return f"{value:.1f}" if span >= 1 else f"{value:.3g}"


def sensitivity(result: Any, *, title: str = "", label: str = "test accuracy") -> Any:
    """The heatmap of :func:`sparsenn.pruning.sensitivity`.

    A column for each block and, apart, one for the whole model; a row for each share of
    the connections that is pruned.

    Parameters
    ----------
    result : sparsenn.pruning.Sensitivity
    title, label : str
        As of `heatmap`.

    Returns
    -------
    matplotlib Figure
    """
    found = [*np.ravel(result.values), *result.full, result.baseline]
    return heatmap(
        np.asarray(result.values).T,
        [f"{100 * share:g} %" for share in result.sparsities],
        result.blocks,
        last=("full model", result.full),
        xlabel="pruned block",
        ylabel="connections pruned",
        title=title,
        label=label,
        percent=bool(np.all((np.array(found) >= 0) & (np.array(found) <= 1))),
    )


def image_shape(shape: Sequence[int]) -> tuple[int, int] | None:
    """Height and width if a sample's shape is that of a grey or colour image."""
    if len(shape) == 2 and min(shape) > 1:
        return int(shape[0]), int(shape[1])
    if len(shape) == 3 and shape[2] in (1, 3) and min(shape[:2]) > 1:
        return int(shape[0]), int(shape[1])
    return None


def as_image(per_input: np.ndarray, shape: Sequence[int]) -> np.ndarray | None:
    """A value per input as an image (summed over channels); None if it is not one."""
    size = image_shape(shape)
    if size is None or per_input.size != int(np.prod(shape)):
        return None
    return per_input.reshape(*size, -1).sum(axis=2)
