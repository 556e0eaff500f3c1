"""Charts of results: one style, colours that everyone can tell apart.

Each takes the documents by name and returns a figure, or None where what it shows was
not measured. Where sparsenn is slower than what it is compared with is shaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from benchmarks import ceilings as ceilings_

Documents = Mapping[str, Mapping[str, Any]]
FORWARD, TRAINING = "forward", "forward + dX + dW"
OURS, BLAS = "sparsenn", "OpenBLAS"
GREY = "#555555"
MARKERS = "os^DvPX"


def available() -> bool:
    """Whether matplotlib is installed."""
    from sparsenn import plot

    return plot.available()


def conditions(document: Mapping[str, Any]) -> str:
    """Processor, kernels and threads in a few words."""
    m = document["machine"]
    cpu = m["cpu"].replace("(R)", "").replace("(TM)", "").replace(" Processor", "")
    threads = m["threads"]
    return f"{cpu}, {m['sparsenn_isa']}, {threads} thread{'s' * (threads > 1)}"


def series(
    document: Mapping[str, Any], x: str, y: str, **where: object
) -> tuple[list[float], list[float]]:
    """Columns x and y of the rows with the given values and a number in both."""
    points = [
        (row[x], row[y])
        for row in document["rows"]
        if all(row.get(k) == v for k, v in where.items())
        and isinstance(row.get(y), int | float)
    ]
    return [float(a) for a, _ in points], [float(b) for _, b in points]


def axes(fig: Any, rows: int, columns: int, index: int, title: str) -> Any:
    """Plain axes with a light grid."""
    ax = fig.add_subplot(rows, columns, index)
    ax.set_title(title, loc="left", fontsize=10)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.grid(color="#e6e6e6", linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


def line(ax: Any, x: Sequence[float], y: Sequence[float], i: int, label: str) -> None:
    """One measured series."""
    from sparsenn.plot import COLOURS

    ax.plot(x, y, color=COLOURS[i % 7], marker=MARKERS[i % 7], markersize=4.5,
            linewidth=1.6, label=label)  # fmt: skip


def slower(ax: Any, text: str = "sparsenn is slower") -> None:
    """Shade what is below one on a logarithmic axis of speed-ups, and say so."""
    low, high = ax.get_ylim()
    low = min(low, 0.4)
    ax.set_ylim(low, high)
    ax.axhspan(low, 1, color="#D55E00", alpha=0.12, linewidth=0)
    ax.axhline(1, color=GREY, linewidth=0.9)
    ax.annotate(text, xy=(0.02, 0.02), xycoords="axes fraction", fontsize=8,
                color="#8a3c00")  # fmt: skip


def plain(axis: Any, ticks: Sequence[float] | None = None) -> None:
    """Numbers as people write them on a logarithmic axis."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    if ticks is not None:
        axis.set_ticks(ticks)
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.set_minor_formatter(NullFormatter())


def speedups(
    ax: Any, document: Mapping[str, Any], x: str, lines: Mapping[str, Mapping[str, Any]]
) -> None:
    """Speed-ups over rivals on logarithmic axes, the losing part shaded."""
    for i, (label, where) in enumerate(lines.items()):
        xs, ys = series(document, x, "speedup", **where)
        if xs:
            line(ax, xs, ys, i, label)
    ax.set_xscale("log")
    ax.set_yscale("log")
    plain(ax.yaxis)
    ax.set_ylabel("sparsenn is times as fast")
    slower(ax)
    ax.legend(frameon=False, fontsize=8)


def mark(ax: Any, at: float | None) -> None:
    """The break-even density."""
    if at is None:
        return
    ax.plot([at], [1], marker="o", markersize=8, markerfacecolor="white",
            markeredgecolor="black", zorder=5)  # fmt: skip
    ax.annotate(f"break-even\n{at:.2f}", xy=(at, 1), xytext=(-4, -24), fontsize=8,
                textcoords="offset points", ha="right")  # fmt: skip


def density(documents: Documents) -> Any:
    """Speed-up against density, over every rival."""
    from sparsenn.plot import figure

    document = documents["density"]
    rivals = [
        n for n in dict.fromkeys(r["name"] for r in document["rows"]) if n != OURS
    ]
    fig = figure(10.5, 4.4)
    for i, product in enumerate((FORWARD, TRAINING), 1):
        ax = axes(fig, 1, 2, i, product)
        lines = {f"over {name}": {"name": name, "product": product} for name in rivals}
        speedups(ax, document, "density", lines)
        mark(ax, document["break_even"][product])
        plain(ax.xaxis)
        ax.set_xlabel("density")
    fig.suptitle(f"{document['title']}; {conditions(document)}", fontsize=10)
    return fig


def peak(documents: Documents) -> Any:
    """Speed against the ceilings of the core: registers, loads, second-level cache."""
    from sparsenn.plot import COLOURS, figure

    document, ceilings = documents["density"], documents["ceilings"]
    isa = document["machine"]["sparsenn_isa"]
    limits = ceilings_.limits(ceilings, isa)
    top = limits["fma"]
    fig = figure(6.8, 4.4)
    ax = axes(fig, 1, 1, 1, f"{document['title']}\n{conditions(document)}")
    for i, product in enumerate((FORWARD, TRAINING)):
        xs, ys = series(document, "density", "gflops", name=OURS, product=product)
        line(ax, xs, ys, i, product)
    xs, ys = series(document, "density", "gflops", name=BLAS, product=FORWARD)
    ax.plot(xs, ys, color=COLOURS[2], linestyle=":", label="OpenBLAS, dense forward")
    for name, text in (
        ("fma", "peak: multiply-adds from registers"),
        ("fma_load", "every multiply-add loads, from the first-level cache"),
        ("L2", "loads from the second-level cache"),
        ("DRAM", "loads from memory"),
    ):
        if name not in limits:
            continue
        value = limits[name]
        ax.axhline(value, color=GREY, linewidth=1, linestyle="--")
        ax.annotate(text, xy=(0.01, value), xycoords=ax.get_yaxis_transform(),
                    xytext=(0, 2), textcoords="offset points", fontsize=7.5,
                    color=GREY)  # fmt: skip
    ax.set_xscale("log")
    plain(ax.xaxis)
    ax.set_xlabel("density")
    ax.set_ylabel("GFLOP/s")
    ax.set_ylim(0, 1.1 * top)
    other = ax.secondary_yaxis(
        "right", functions=(lambda v: v / top, lambda v: v * top)
    )
    other.set_ylabel("fraction of peak")
    ax.legend(frameon=False, fontsize=8, loc="upper right", bbox_to_anchor=(1, 0.9))
    return fig


def sweep(document: Mapping[str, Any], x: str, label: str) -> Any:
    """Speed-up over dense BLAS for each density and product."""
    from sparsenn.plot import figure

    fig = figure(6.8, 4.2)
    ax = axes(fig, 1, 1, 1, f"{document['title']}\n{conditions(document)}")
    rows = document["rows"]
    keys = dict.fromkeys((r["density"], r["product"]) for r in rows)
    lines = {
        f"{product}, density {d:g}": {"density": d, "product": product, "name": BLAS}
        for d, product in keys
    }
    speedups(ax, document, x, lines)
    plain(ax.xaxis, sorted({row[x] for row in rows}))
    ax.tick_params(axis="x", labelsize=8)
    ax.set_xlabel(label)
    ax.set_ylabel(f"times as fast as {BLAS}")
    return fig


def batch(documents: Documents) -> Any:
    """Speed-up against batch size."""
    return sweep(documents["batch"], "batch", "batch")


def width(documents: Documents) -> Any:
    """Speed-up against width."""
    document = dict(documents["width"])
    document["rows"] = [
        row | {"width": int(row["shape"].split("x")[0])} for row in document["rows"]
    ]
    return sweep(document, "width", "width")


def threads(documents: Documents) -> Any:
    """Scaling with threads."""
    from sparsenn.plot import figure

    document = documents["threads"]
    most = document["machine"]["threads"]
    fig = figure(6.8, 4.4)
    ax = axes(fig, 1, 1, 1, f"Scaling with threads; {conditions(document)}")
    works = dict.fromkeys((row["work"], row["name"]) for row in document["rows"])
    for i, (work, name) in enumerate(works):
        xs, ys = series(document, "threads", "scaling", work=work, name=name)
        line(ax, xs, ys, i, f"{name}: {work}")
    ax.plot([1, most], [1, most], color=GREY, linestyle="--", linewidth=1)
    ax.set_xticks(sorted({row["threads"] for row in document["rows"]}))
    ax.set_xlabel("threads")
    ax.set_ylabel("times as fast as on one")
    ax.legend(frameon=False, fontsize=7, loc="upper left")
    return fig


def bars(ax: Any, documents: Documents) -> bool:
    """Speed-up of the training step over each rival, one bar a model and rival."""
    from sparsenn.plot import COLOURS

    labels, values, colours = [], [], []
    for name, document in documents.items():
        if not name.startswith("train"):
            continue
        for row in document["rows"]:
            if not isinstance(row.get("speedup"), int | float):
                continue
            if row["name"] not in ("PyTorch dense", "SparseLab"):
                continue
            o = document["options"]
            labels.append(
                f"{o['arch']} at {row['density']:g}\nbatch {o['batch']}, "
                f"{o['threads']} thread{'s' * (o['threads'] > 1)}, over {row['name']}"
            )
            values.append(row["speedup"])
            colours.append(COLOURS[row["name"] == "SparseLab"])
    if not values:
        return False
    at = list(range(len(values)))
    ax.barh(at, [v - 1 for v in values], left=1, color=colours, height=0.6)
    for y, value in zip(at, values, strict=True):
        ax.annotate(f"{value:.2g}x", xy=(max(value, 1), y), xytext=(4, 0), fontsize=8,
                    textcoords="offset points", va="center")  # fmt: skip
    ax.set_yticks(at, labels=labels, fontsize=7)
    ax.invert_yaxis()
    ax.set_xscale("log")
    low, high = min(0.7, 0.8 * min(values)), 1.6 * max(values)
    ax.set_xlim(low, high)
    ax.axvspan(low, 1, color="#D55E00", alpha=0.12, linewidth=0)
    ax.axvline(1, color=GREY, linewidth=0.9)
    plain(ax.xaxis, [t for t in (0.5, 1, 2, 5, 10, 20, 50) if low <= t <= high])
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("sparsenn's training step is times as fast")
    return True


def train(documents: Documents) -> Any:
    """Training steps beside the other engines."""
    from sparsenn.plot import figure

    document = next(d for name, d in documents.items() if name.startswith("train"))
    fig = figure(7.5, 5)
    cpu = conditions(document).rsplit(",", 1)[0]
    ax = axes(fig, 1, 1, 1, "")
    fig.suptitle(f"Training step, SGD with momentum; {cpu}", fontsize=10)
    return fig if bars(ax, documents) else None


def k_winners(documents: Documents) -> Any:
    """Speed-up over dense of sparse weights on sparse activations, hatched below 1."""
    from sparsenn.plot import figure

    document = documents["k_winners"]
    rows = [row for row in document["rows"] if row["storage"] == "by column"]
    batches = sorted({row["batch"] for row in rows})
    fig = figure(4.4 * len(batches) + 0.6, 4.2)
    for i, size in enumerate(batches, 1):
        ax = axes(fig, 1, len(batches), i, f"batch {size}")
        ax.grid(visible=False)
        here = {(r["density"], r["active"]): r for r in rows if r["batch"] == size}
        ds = sorted({d for d, _ in here})
        ks = sorted({k for _, k in here})
        ax.set_xlim(-0.5, len(ks) - 0.5)
        ax.set_ylim(-0.5, len(ds) - 0.5)
        import numpy as np

        values = np.array(
            [[here.get((d, k), {}).get("blas", np.nan) for k in ks] for d in ds]
        )
        ax.imshow(np.log(values), cmap="cividis", aspect="auto", origin="lower")
        middle = np.nanmean(np.log(values))
        for (y, x), value in np.ndenumerate(values):
            colour = "white" if np.log(value) < middle else "black"
            if value < 1:  # where we lose
                ax.fill_between([x - 0.5, x + 0.5], y - 0.5, y + 0.5, hatch="///",
                                facecolor="none", edgecolor="#E69F00")  # fmt: skip
            ax.annotate(f"{value:.3g}x", xy=(x, y), ha="center", va="center",
                        color=colour, fontsize=8)  # fmt: skip
        ax.set_xticks(range(len(ks)), labels=[f"{100 * k:g}" for k in ks])
        ax.set_yticks(range(len(ds)), labels=[f"{100 * d:g}" for d in ds])
        ax.set_xlabel("active (%)")
        ax.set_ylabel("density of weights (%)")
    fig.suptitle(f"{document['title']}; {conditions(document)}", fontsize=10)
    return fig


def speed(documents: Documents) -> Any:
    """Two in one, for who reads one: speed-up against density, training steps."""
    from sparsenn.plot import figure

    document = documents["density"]
    fig = figure(11.5, 4.6)
    ax = axes(fig, 1, 2, 1, f"{document['title']}, over {BLAS}, 1 thread")
    lines = {p: {"name": BLAS, "product": p} for p in (FORWARD, TRAINING)}
    speedups(ax, document, "density", lines)
    mark(ax, document["break_even"][TRAINING])
    plain(ax.xaxis)
    ax.set_xlabel("density")
    ax = axes(fig, 1, 2, 2, "Training step, SGD with momentum")
    if not bars(ax, documents):
        return None
    fig.suptitle(conditions(document).rsplit(",", 1)[0], fontsize=10)
    return fig


#: File name: the document that it belongs to, the function, and what it shows.
CHARTS = {
    "speed.png": ("", speed, "speed-up against density; training steps"),
    "density.png": ("density", density, "speed-up against density"),
    "peak.png": ("ceilings", peak, "speed against the ceilings of the core"),
    "batch.png": ("batch", batch, "speed-up against batch size"),
    "width.png": ("width", width, "speed-up against width"),
    "train.png": ("train-wide", train, "training steps beside other engines"),
    "threads.png": ("threads", threads, "scaling with threads"),
    "k_winners.png": ("k_winners", k_winners, "k-winners on sparse weights"),
}


def save(fig: Any, path: Path) -> None:
    """Write a PNG of 64 colours: a third of the size, and as good for lines."""
    from PIL import Image

    from sparsenn.files import atomic_write

    drawn, small = BytesIO(), BytesIO()
    fig.savefig(drawn, format="png", dpi=110, metadata={"Software": None})
    Image.open(drawn).convert("RGB").quantize(64).save(small, "PNG", optimize=True)
    with atomic_write(path) as file:
        file.write(small.getvalue())


def draw(documents: Documents, folder: Path) -> dict[str, tuple[str, str]]:
    """Every chart whose figures are there: file name to document and what it shows."""
    if not available():
        return {}
    drawn = {}
    for file, (name, make, title) in CHARTS.items():
        try:
            fig = make(documents)
        except (KeyError, StopIteration):
            continue
        if fig is not None:
            save(fig, folder / file)
            drawn[file] = (name, title)
    return drawn
