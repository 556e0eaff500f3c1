"""Branches that meet in a sum, and what a shortcut may do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Self, final

from sparsenn import ops
from sparsenn.autograd import Tensor
from sparsenn.nn.config import from_config, layer, to_config
from sparsenn.nn.module import Module


@final
@layer
class Residual(Module):
    """``branch(x) + shortcut(x)``.

    Parameters
    ----------
    branch : Module
    shortcut : Module, optional
        By default the identity.

    References
    ----------
    He et al., "Deep residual learning for image recognition", arXiv:1512.03385.
    """

    def __init__(self, branch: Module, shortcut: Module | None = None) -> None:
        self.branch = branch
        self.shortcut = Identity() if shortcut is None else shortcut

    def forward(self, x: Tensor) -> Tensor:
        """The sum; the shapes of both must agree."""
        y, short = self.branch(x), self.shortcut(x)
        if y.shape != short.shape:
            raise ValueError(
                f"the branch gives {y.shape}, the shortcut {short.shape}; they are "
                "added and must agree"
            )
        return y + short

    def children(self) -> Iterator[tuple[str, Module]]:
        """Branch and shortcut."""
        yield "branch", self.branch
        yield "shortcut", self.shortcut

    def config(self) -> dict[str, Any]:
        """Configurations of branch and shortcut."""
        return {"layers": [to_config(self.branch), to_config(self.shortcut)]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Builds branch and shortcut."""
        layers = config.get("layers")
        if set(config) != {"layers"} or not isinstance(layers, list) or len(layers) > 2:
            raise ValueError("a Residual is described by a list of one or two layers")
        return cls(*map(from_config, layers))

    def __repr__(self) -> str:
        """Both branches, indented."""
        lines = "".join(
            f"\n({name}): {module!r}".replace("\n", "\n  ")
            for name, module in self.children()
        )
        return f"Residual({lines}\n)"


@final
@layer
class Identity(Module):
    """Its input."""

    unitwise: ClassVar[bool] = True

    transparent: ClassVar[bool] = True

    def forward(self, x: Tensor) -> Tensor:
        """The same tensor."""
        return x

    def config(self) -> dict[str, Any]:
        """No arguments."""
        return {}


@final
@layer
class PaddedShortcut(Module):
    """Every stride-th pixel, and zeros in the channels that are new.

    The shortcut without weights between stages of a residual network ("option A").

    Parameters
    ----------
    n_in, n_out : int
        Channels in and out, ``n_in <= n_out``; half of the new ones come before.
    stride : int

    References
    ----------
    He et al., "Deep residual learning for image recognition", arXiv:1512.03385,
    section 4.2.
    """

    def __init__(self, n_in: int, n_out: int, stride: int = 1) -> None:
        if not 1 <= n_in <= n_out or stride < 1:
            raise ValueError(
                f"needed are 1 <= n_in <= n_out and stride >= 1, got n_in={n_in}, "
                f"n_out={n_out}, stride={stride}"
            )
        self.n_in, self.n_out, self.stride = n_in, n_out, stride

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_in, height, width) to (batch, n_out, height', width')."""
        if x.ndim != 4 or x.shape[1] != self.n_in:
            raise ValueError(
                f"PaddedShortcut takes (batch, {self.n_in}, height, width), got "
                f"{x.shape}"
            )
        step = slice(None, None, self.stride)
        x = ops.contiguous(x[:, :, step, step])
        before = (self.n_out - self.n_in) // 2
        after = self.n_out - self.n_in - before
        return ops.pad(x, ((0, 0), (before, after), (0, 0), (0, 0)))

    def config(self) -> dict[str, Any]:
        """Channels and stride."""
        return {"n_in": self.n_in, "n_out": self.n_out, "stride": self.stride}
