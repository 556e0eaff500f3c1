"""Types of the compiled core (bindings/)."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, final

import numpy as np
from numpy.typing import DTypeLike, NDArray

Real: TypeAlias = NDArray[np.float32] | NDArray[np.float64]

@final
class Layout:
    def __init__(
        self,
        shape: tuple[int, int],
        block_width: int,
        indptr: NDArray[np.int32],
        columns: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int32],
    ) -> None: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def block_width(self) -> int: ...
    @property
    def n_blocks(self) -> int: ...
    @property
    def index_bytes(self) -> int: ...
    @property
    def nnz(self) -> int: ...
    @property
    def indptr(self) -> NDArray[np.int32]: ...
    @property
    def columns(self) -> NDArray[Any]: ...
    @property
    def nbytes(self) -> int: ...

# products
def spmm(
    layout: Layout, values: Real, x: Real, bias: Real | None = None, activation: int = 0
) -> Real: ...
def spmm_t(layout: Layout, values: Real, dy: Real) -> Real: ...
def sddmm(layout: Layout, a: Real, x: Real) -> Real: ...
def spmm_backward(
    layout: Layout, values: Real, dy: Real, x: Real
) -> tuple[Real, Real]: ...
def conv(
    layout: Layout,
    shape: tuple[Any, ...],
    values: Real,
    x: Real,
    bias: Real | None = None,
    activation: int = 0,
) -> Real: ...
def conv_t(layout: Layout, shape: tuple[Any, ...], values: Real, dy: Real) -> Real: ...
def conv_w(layout: Layout, shape: tuple[Any, ...], dy: Real, x: Real) -> Real: ...
def conv_backward(
    layout: Layout, shape: tuple[Any, ...], values: Real, dy: Real, x: Real
) -> tuple[Real, Real]: ...
def activation_backward(
    activation: int, y: Real | None, dy: Real
) -> tuple[Real, Real]: ...
def gelu(x: Real, dy: Real | None = None) -> Real: ...
def layer_norm(
    x: Real, weight: Real, bias: Real | None, eps: float, centre: bool
) -> Real: ...
def layer_norm_backward(
    x: Real, weight: Real, dy: Real, eps: float, centre: bool
) -> tuple[Real, Real, Real]: ...
def batch_norm(
    x: Real, weight: Real, bias: Real, eps: float
) -> tuple[Real, Real, Real]: ...
def batch_norm_backward(
    x: Real,
    weight: Real,
    mean: Real,
    var: Real,
    dy: Real,
    eps: float,
    want_dx: bool,
) -> tuple[Real | None, Real, Real]: ...
def sgd(
    values: Real,
    grad: Real,
    momentum: Real | None,
    lr: float,
    mu: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> None: ...
def adam(
    values: Real,
    grad: Real,
    m: Real,
    v: Real,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    bias1: float,
    bias2: float,
) -> None: ...

# sparse inputs
@final
class ColumnIndex:
    def __init__(
        self,
        layout: Layout | None = None,
        shape: tuple[int, int] | None = None,
        transposed: bool = False,
    ) -> None: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def layout(self) -> Layout | None: ...
    @property
    def transposed(self) -> bool: ...
    @property
    def nnz(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

@final
class BatchColumns:
    def __init__(
        self,
        shape: tuple[int, int],
        indptr: NDArray[np.int32],
        indices: NDArray[np.int32],
    ) -> None: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def columns(self) -> NDArray[np.int32]: ...
    @property
    def start(self) -> NDArray[np.int32]: ...
    @property
    def samples(self) -> NDArray[np.int32]: ...
    @property
    def source(self) -> NDArray[np.int32]: ...
    @property
    def nnz(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

def sparse_input(
    index: ColumnIndex,
    values: Real,
    batch: BatchColumns,
    x: Real,
    bias: Real | None = None,
    activation: int = 0,
) -> Real: ...
def sparse_input_grad(
    index: ColumnIndex, batch: BatchColumns, x: Real, dy: Real
) -> Real: ...
def column_starts(index: ColumnIndex, columns: Index) -> Index: ...
def sparse_input_grad_columns(
    index: ColumnIndex, batch: BatchColumns, x: Real, dy: Real
) -> tuple[Index, Real]: ...
def spread_columns(
    index: ColumnIndex, columns: Index, values: Real, dense: Real | None = None
) -> Real: ...
def lazy_catch_up(
    index: ColumnIndex,
    values: Real,
    momentum: Real | None,
    last: Index,
    power: NDArray[np.float64],
    now: int,
    columns: Index | None = None,
) -> None: ...
def lazy_sgd(
    index: ColumnIndex,
    values: Real,
    momentum: Real | None,
    last: Index,
    power: NDArray[np.float64],
    now: int,
    columns: Index,
    grad: Real,
    lr: float,
    mu: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> None: ...

# sparse activations
@final
class Events:
    def __init__(
        self,
        shape: tuple[int, int],
        start: NDArray[np.int32],
        features: NDArray[np.int32],
    ) -> None: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def start(self) -> NDArray[np.int32]: ...
    @property
    def features(self) -> NDArray[np.int32]: ...
    @property
    def count(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

def k_winners(x: Real, k: int, boost: Real | None = None) -> Events: ...
def nonzeros(x: Real) -> Events: ...
def keep(events: Events, x: Real) -> Real: ...
def event_spmm(
    index: ColumnIndex,
    values: Real,
    events: Events,
    x: Real,
    bias: Real | None = None,
    activation: int = 0,
    out: Real | None = None,
) -> Real: ...
def event_backward(
    index: ColumnIndex,
    values: Real | None,
    events: Events,
    dy: Real,
    x: Real | None = None,
    input_gradient: bool = True,
) -> tuple[Real | None, Real | None]: ...

# run time
def isa() -> str: ...
def available_isas() -> tuple[str, ...]: ...
def set_isa(name: str) -> None: ...
def get_num_threads() -> int: ...
def set_num_threads(n: int | None) -> None: ...
def has_openmp() -> bool: ...
def after_fork_in_child() -> None: ...

# structure
Index: TypeAlias = NDArray[np.int32]
Shape: TypeAlias = tuple[int, int]

class StreamLike(Protocol):
    @property
    def seed(self) -> int: ...
    @property
    def purpose(self) -> int: ...
    @property
    def layer(self) -> int: ...
    @property
    def step(self) -> int: ...

def csr_check(shape: Shape, indptr: Index, indices: Index) -> None: ...
def csr_to_layout(
    shape: Shape, indptr: Index, indices: Index, block_width: int, index_bytes: int
) -> tuple[Layout, Index]: ...
def layout_to_csr(layout: Layout) -> tuple[Index, Index, Index]: ...
def layout_positions(layout: Layout) -> tuple[Index, Index]: ...
def csr_transpose(
    shape: Shape, indptr: Index, indices: Index
) -> tuple[Index, Index, Index]: ...
def csr_merge(
    shape: Shape,
    indptr: Index,
    indices: Index,
    keep: NDArray[np.bool_],
    added_indptr: Index,
    added_indices: Index,
) -> tuple[Index, Index, Index]: ...
def complement_sample(
    shape: Shape, indptr: Index, indices: Index, k: int, stream: StreamLike
) -> tuple[Index, Index]: ...
def layout_find(layout: Layout, rows: Index, cols: Index) -> NDArray[np.bool_]: ...
def above_outside(
    layout: Layout, first_row: int, tile: Real, threshold: float
) -> tuple[Index, Index, Real]: ...
def layout_complement_sample(
    layout: Layout, keep: NDArray[np.bool_] | None, k: int, stream: StreamLike
) -> tuple[Index, Index]: ...
def layout_merge(
    layout: Layout,
    keep: NDArray[np.bool_],
    added_indptr: Index,
    added_indices: Index,
) -> tuple[Layout, Index]: ...
def remap(source: Index, array: NDArray[Any], fill: Any) -> NDArray[Any]: ...
def select(
    scores: Real,
    k: int,
    largest: bool = True,
    rank: NDArray[np.int64] | Callable[[], NDArray[np.int64]] | None = None,
) -> NDArray[np.bool_]: ...

# random numbers
def philox4x32(
    counter: Sequence[int], key: Sequence[int]
) -> tuple[int, int, int, int]: ...
def random_bits(
    stream: StreamLike,
    n: int | None = None,
    elements: NDArray[np.int64] | None = None,
    first: int = 0,
) -> NDArray[np.uint32]: ...
def random_uniform(
    stream: StreamLike,
    n: int | None = None,
    elements: NDArray[np.int64] | None = None,
    dtype: DTypeLike = ...,
    first: int = 0,
) -> Real: ...
def random_normal(
    stream: StreamLike,
    n: int | None = None,
    elements: NDArray[np.int64] | None = None,
    dtype: DTypeLike = ...,
    first: int = 0,
) -> Real: ...
def random_scaled(
    stream: StreamLike,
    law: str,
    scale: float,
    n: int | None = ...,
    elements: NDArray[np.int64] | None = ...,
    dtype: DTypeLike = ...,
    first: int = ...,
    absolute: bool = ...,
) -> Real: ...
def flow(
    weight: Any,
    death: tuple[Any, Any, float, int] | None = ...,
    x: Real | None = ...,
    g: Real | None = ...,
    y: Real | None = ...,
    z: Real | None = ...,
    search: tuple[float, float, Any, Any, Any, Any] | None = ...,
) -> tuple[int, int, int, int]: ...
def flow_listed(
    n_cols: int,
    start: NDArray[np.int64],
    live: Index,
    columns: Index,
    values: Real,
    death: tuple[Any, Any, float, int] | None = ...,
    x: Real | None = ...,
    g: Real | None = ...,
    y: Real | None = ...,
    z: Real | None = ...,
    search: tuple[float, float, Any, Any, Any, Any] | None = ...,
) -> tuple[int, int, int, int]: ...
def mask_columns(mask: NDArray[np.uint64], count: int) -> Index: ...
def score_above(
    tile: Real,
    threshold: float,
    kind: str = ...,
    weight: Any = ...,
    row: int = ...,
    column: int = ...,
) -> tuple[Index, Index, Real]: ...
def random_tile(
    stream: StreamLike,
    law: str,
    scale: float,
    first: int,
    stride: int,
    out: Real,
    absolute: bool = ...,
) -> Real: ...
