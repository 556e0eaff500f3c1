"""Dense weights of other programs: matched by names and shapes, pruned exactly."""

from __future__ import annotations

import json
import math
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsenn import models, nn
from sparsenn.export import safetensors
from sparsenn.sparse import SparseParameter, allocate


def weights(model: nn.Module) -> list[SparseParameter]:
    return [p for p in model.parameters() if isinstance(p, SparseParameter)]


def mlp(density: float = 0.0) -> nn.Sequential:
    return models.mlp([6, 5, 4, 3], density, seed=0)


def state(seed: int = 0, levels: int = 0) -> dict[str, np.ndarray]:
    """What another program would call the parameters of `mlp`."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for i, (n_in, n_out) in enumerate(((6, 5), (5, 4), (4, 3))):
        w = rng.standard_normal((n_out, n_in)).astype(np.float32)
        arrays[f"fc{i + 1}.weight"] = np.round(w * levels) if levels else w
        arrays[f"fc{i + 1}.bias"] = rng.standard_normal(n_out).astype(np.float32)
    return arrays


def write(arrays, tmp_path: Path, kind: str):
    if kind == "mapping":
        return arrays
    path = tmp_path / f"weights.{kind}"
    if kind == "npz":
        np.savez(path, **arrays)
    else:
        safetensors.write(path, arrays)
    return path


@pytest.mark.parametrize("kind", ["mapping", "npz", "safetensors"])
def test_all_of_it(kind: str, tmp_path: Path) -> None:
    arrays = state()
    model = mlp()
    names = models.import_dense(model, write(arrays, tmp_path, kind))
    assert names == {
        f"{2 * i}.{part}": f"fc{i + 1}.{part}"
        for i in range(3)
        for part in ("weight", "bias")
    }
    for i, weight in enumerate(weights(model)):
        assert weight.pattern.is_full
        assert np.array_equal(weight.to_scipy().toarray(), arrays[f"fc{i + 1}.weight"])
        assert np.array_equal(model[2 * i].bias.data, arrays[f"fc{i + 1}.bias"])


@given(st.floats(0, 1), st.integers(0, 5), st.sampled_from([0, 1, 3]))
def test_the_largest_of_all_stay(density: float, seed: int, levels: int) -> None:
    arrays = state(seed, levels)
    model = mlp(0.5)
    models.import_dense(model, arrays, density)
    flat = np.concatenate([arrays[f"fc{i}.weight"].ravel() for i in (1, 2, 3)])
    k = round(density * flat.size)
    order = np.argsort(-np.abs(flat), kind="stable")[:k]  # ties: the first
    wanted = np.zeros(flat.size, bool)
    wanted[order] = True
    start = 0
    for weight in weights(model):
        size = math.prod(weight.shape)
        mask = np.zeros(weight.shape, bool)
        mask[weight.positions()] = True
        assert np.array_equal(mask.ravel(), wanted[start : start + size])
        values = np.where(mask.ravel(), flat[start : start + size], 0)
        assert np.array_equal(weight.to_scipy().toarray().ravel(), values)
        start += size


def test_layers_may_share_as_at_initialisation_and_stay_dense() -> None:
    model = mlp()
    models.import_dense(model, state(), 0.5, allocation="erk", keep_dense=[-1])
    shapes = [(5, 6), (4, 5), (3, 4)]
    wanted = allocate(shapes, 0.5, "erk", [2])
    assert [w.nnz for w in weights(model)] == wanted
    models.import_dense(model, state(), 0.5, keep_dense=[0])
    assert weights(model)[0].pattern.is_full
    assert sum(w.nnz for w in weights(model)) == 31


def test_convolutions_and_norms_by_shape_and_kind(tmp_path: Path) -> None:
    model = models.resnet(8, 0.0, image=(3, 16, 16), seed=0)
    rng = np.random.default_rng(0)
    arrays = {}
    names = iter(range(10, 100))
    for prefix, module in model.named_modules():
        del prefix
        if isinstance(module, nn.Conv2d | nn.Linear):
            number = next(names)
            axes = module.weight.axes
            arrays[f"layer.{number}.weight"] = rng.standard_normal(axes)
            if module.bias is not None:
                arrays[f"layer.{number}.bias"] = rng.standard_normal(axes[0])
        if isinstance(module, nn.BatchNorm2d):
            number = next(names)
            for part in ("weight", "bias", "running_mean", "running_var"):
                arrays[f"layer.{number}.{part}"] = rng.random(module.n_features) + 0.5
            arrays[f"layer.{number}.num_batches_tracked"] = np.array(7)
    matched = models.import_dense(model, write(arrays, tmp_path, "safetensors"), 0.1)
    positions = sum(math.prod(w.axes) for w in weights(model))
    assert sum(w.nnz for w in weights(model)) == round(0.1 * positions)
    for name, buffer in model.named_buffers():
        np.testing.assert_allclose(buffer, arrays[matched[name]], rtol=1e-6)
    for name, parameter in model.named_parameters():
        if isinstance(parameter, SparseParameter):
            dense = arrays[matched[name]].reshape(parameter.shape)
            rows, columns = parameter.positions()
            np.testing.assert_allclose(
                parameter.values.data, dense[rows, columns], rtol=1e-6
            )


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (
            {"fc2.weight": None},
            {},
            r"2 of the 6 arrays of the model fit nothing: '2.weight' \(4, 5\), .*; "
            "1 of the 5 arrays of the source fit nothing: 'fc2.bias'",
        ),
        (
            {"extra": np.zeros(2)},
            {},
            r"1 of the 7 arrays of the source fit nothing: 'extra' \(2,\)",
        ),
        (
            {"fc1.weight": np.zeros((5, 7))},
            {},
            r"model fit nothing: '0.weight' \(5, 6\).*nothing: 'fc1.weight' \(5, 7\)",
        ),
        (
            {f"more.{i}": np.zeros(9) for i in range(7)},
            {},
            r"7 of the 13 arrays .* fit nothing: .*'more.4' \(9,\) and 2 more",
        ),
        ({"fc1.bias": np.full(5, np.nan)}, {}, "'fc1.bias' has values that are not"),
        ({"fc1.bias": np.full(5, 1e300)}, {}, "values that are not finite in float32"),
        ({"fc1.bias": np.full(5, 1j)}, {}, "'fc1.bias' has dtype complex128; allowed"),
        ({"fc1.bias": [[1], [2, 3]]}, {}, "mapping: 'fc1.bias' cannot be read"),
        ({}, {"density": 0.1, "keep_dense": [0]}, "kept dense have 30 connections"),
        ({}, {"method": "random"}, "method must be 'magnitude'"),
        ({}, {"names": {"9.weight": "fc1.weight"}}, "the model has no array"),
        ({}, {"names": {"0.weight": "fc9.weight"}}, "source has no .* 'fc9.weight'"),
        ({}, {"names": {"0.weight": "fc2.weight"}}, r"has shape \(4, 5\), '0.weight'"),
    ],
)
def test_what_does_not_fit_changes_nothing(change, options, message: str) -> None:
    arrays = {**state(), **change}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    model = mlp(0.5)
    before = [w.pattern for w in weights(model)]
    with pytest.raises(ValueError, match=message):
        models.import_dense(model, arrays, **options)
    assert [w.pattern for w in weights(model)] == before


def test_names_that_are_given(tmp_path: Path) -> None:
    arrays = state()
    arrays = {name.replace("fc1", "entry"): array for name, array in arrays.items()}
    arrays["first"] = arrays.pop("entry.weight")
    model = mlp()
    matched = models.import_dense(model, arrays, names={"0.weight": "first"})
    assert matched["0.weight"] == "first"
    with pytest.raises(ValueError, match=r"give a \.safetensors or \.npz file"):
        models.import_dense(model, tmp_path / "weights.pt")


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_one_dense_weight_in_memory_at_a_time(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = [400] * 13
    arrays = {}
    for i in range(12):
        w = rng.standard_normal((400, 400)).astype(np.float32)
        arrays[f"{i}.weight"], arrays[f"{i}.bias"] = w, np.zeros(400, np.float32)
    source = write(arrays, tmp_path, kind)
    everything = sum(a.nbytes for a in arrays.values())
    del arrays
    model = models.mlp(sizes, 0.0)
    models.import_dense(models.mlp(sizes, 0.0), source, 0.01)  # what is made only once
    tracemalloc.start()
    models.import_dense(model, source, 0.01)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < everything / 2


# ---------------------------------------------------------------- what belongs together


def in_order(model: nn.Module, modules: list[str]) -> dict[str, np.ndarray]:
    """What PyTorch would call the arrays of a model whose modules have these names."""
    rng = np.random.default_rng(0)
    arrays = {}
    names = iter(modules)
    for _, module in model.named_modules():
        parts = [(k, v) for k, v in vars(module).items() if k in ("weight", "bias")] + [
            (k, getattr(module, k)) for k in module.buffers if k != "calls"
        ]
        name = next(names) if parts else ""
        for kind, value in parts:
            if value is not None:
                axes = getattr(value, "axes", value.shape)
                arrays[f"{name}.{kind}"] = rng.random(axes).astype(np.float32)
    assert next(names, None) is None
    return arrays


def gpt(n: int = 2) -> tuple[nn.Module, list[str]]:
    model = models.gpt(20, 16, n, 8, 2, density=0.0, seed=0)
    blocks = [
        f"h.{i}.{part}"
        for i in range(n)
        for part in ("ln_1", "attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.c_proj",
                     "ln_2", "mlp.c_fc", "mlp.c_proj")
    ]  # fmt: skip
    return model, ["wte", "wpe", *blocks, "ln_f", "lm_head"]


def mixer() -> tuple[nn.Module, list[str]]:
    model = models.mixer(2, 8, 4, 0.0, image=(3, 8, 8), seed=0)
    blocks = [
        f"blocks.{i}.{part}"
        for i in range(2)
        for part in ("norm1", "mlp_tokens.fc1", "mlp_tokens.fc2", "norm2",
                     "mlp_channels.fc1", "mlp_channels.fc2")
    ]  # fmt: skip
    return model, ["stem.proj", *blocks, "norm", "head"]


def resnet() -> tuple[nn.Module, list[str]]:
    model = models.resnet(50, 0.0, width=4, n_classes=5, seed=0)
    names = ["conv1", "bn1"]
    for stage, n_blocks in enumerate((3, 4, 6, 3), 1):
        for i in range(n_blocks):
            for k in (1, 2, 3):
                names += [f"layer{stage}.{i}.conv{k}", f"layer{stage}.{i}.bn{k}"]
            if not i:
                names += [f"layer{stage}.0.downsample.{k}" for k in (0, 1)]
    return model, [*names, "fc"]


@pytest.mark.parametrize("kind", ["mapping", "npz", "safetensors", "sorted"])
@pytest.mark.parametrize("make", [gpt, mixer, resnet])
def test_usual_names_need_no_order(make, kind: str, tmp_path: Path) -> None:
    model, modules = make()
    arrays = in_order(model, modules)
    theirs = dict(sorted(arrays.items())) if kind == "sorted" else arrays
    source = theirs if kind == "sorted" else write(arrays, tmp_path, kind)
    matched = models.import_dense(model, source)
    wanted = [n for n in arrays if "running" not in n]
    found = [matched[name] for name, _ in model.named_parameters()]
    assert found == wanted
    for name, buffer in model.named_buffers():
        if "running" in name:
            assert np.array_equal(buffer, arrays[matched[name]])


def test_names_go_before_order() -> None:
    model, modules = gpt(1)
    arrays = in_order(model, modules)
    q, k, v = (
        {n: a for n, a in arrays.items() if f".{letter}_proj" in n} for letter in "qkv"
    )
    rest = {n: a for n, a in arrays.items() if n not in {**q, **k, **v}}
    matched = models.import_dense(model, {**v, **k, **rest, **q})
    assert [matched[n] for n, _ in model.named_parameters()] == list(arrays)


class Pair(nn.Module):
    """Two alike layers, the second one set first."""

    def __init__(self) -> None:
        self.after = nn.Linear(5, 5, 0.0, seed=0)
        self.before = nn.Linear(5, 5, 0.0, seed=0)

    def forward(self, x):
        return self.after(self.before(x))


ALIKE = {
    f"{name}.{kind}": np.ones(shape)
    for name in ("encoder", "decoder")
    for kind, shape in (("weight", (5, 5)), ("bias", 5))
}


@pytest.mark.parametrize("kind", ["sorted", "safetensors"])
def test_what_is_not_clear_is_an_error(kind: str, tmp_path: Path) -> None:
    model = models.mlp([5, 5, 5], 0.5, seed=0)
    before = [w.pattern for w in weights(model)]
    source = (
        dict(sorted(ALIKE.items()))
        if kind == "sorted"
        else write(ALIKE, tmp_path, "safetensors")
    )
    message = re.escape(
        "it is not clear which of 'decoder', 'encoder' is '0', '2' of the model (bias "
        "(5,), weight (5, 5)); say what belongs together by names="
    )
    with pytest.raises(ValueError, match=message):
        models.import_dense(model, source)
    assert [w.pattern for w in weights(model)] == before
    wanted = {
        f"{ours}.{kind}": f"{theirs}.{kind}"
        for ours, theirs in (("0", "encoder"), ("2", "decoder"))
        for kind in ("weight", "bias")
    }
    assert models.import_dense(model, source, names={"0": "encoder"}) == wanted
    assert models.import_dense(model, ALIKE) == wanted  # in order


def test_equal_names_belong_together(tmp_path: Path) -> None:
    arrays = {
        n.replace("encoder", "before").replace("decoder", "after"): a
        for n, a in ALIKE.items()
    }
    for kind in ("mapping", "safetensors"):
        matched = models.import_dense(Pair(), write(arrays, tmp_path, kind))
        assert all(ours == theirs for ours, theirs in matched.items())


def test_names_of_parts_and_of_what_is_shared() -> None:
    model, modules = gpt(2)
    arrays = in_order(model, modules)
    del arrays["lm_head.weight"]
    with pytest.raises(ValueError, match=r"1 of the 37 .* fit nothing: '5.weight'"):
        models.import_dense(model, arrays)
    crossed = {"2": "h.1", "3": "h.0", "0": "wte", "5.weight": "wte.weight"}
    matched = models.import_dense(model, arrays, names=crossed)
    assert matched["0.weight"] == matched["5.weight"] == "wte.weight"
    assert matched["2.attention.key.bias"] == "h.1.attn.k_proj.bias"
    assert matched["3.attention.key.bias"] == "h.0.attn.k_proj.bias"
    narrower = {**crossed, "2.norm1": "h.1.ln_2"}
    matched = models.import_dense(model, arrays, names=narrower)
    assert matched["2.norm1.weight"] == "h.1.ln_2.weight"
    assert matched["2.norm2.weight"] == "h.1.ln_1.weight"


def test_both_sides_of_fused_projections_are_shown() -> None:
    model, modules = gpt(1)
    fused = in_order(model, modules)
    for kind in ("weight", "bias"):
        parts = [fused.pop(f"h.0.attn.{part}_proj.{kind}") for part in "qkv"]
        fused[f"h.0.attn.in_proj_{kind}"] = np.concatenate(parts)
    with pytest.raises(ValueError, match=r"'2.attention.*'h.0.attn.in_proj_weight'"):
        models.import_dense(model, fused)


@pytest.mark.parametrize("n_tokens", [5, 7])
def test_tables_of_sparse_embeddings(n_tokens: int) -> None:
    model = nn.Sequential(nn.Embedding(n_tokens, 5, 0.5, seed=0))
    table = np.random.default_rng(0).standard_normal((n_tokens, 5)).astype(np.float32)
    models.import_dense(model, {"emb.weight": table})
    assert np.array_equal(model(np.arange(n_tokens)).data, table)
    models.import_dense(model, {"emb.weight": table}, 0.4)
    kept = model(np.arange(n_tokens)).data
    smallest = np.abs(table[kept != 0]).min()
    assert np.array_equal(kept, np.where(np.abs(table) >= smallest, table, 0))
    assert np.count_nonzero(kept) == round(0.4 * table.size)


# ---------------------------------------------------------------------- damaged sources


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_damage_is_found_and_names_the_file(
    kind: str, damage: str, tmp_path: Path
) -> None:
    path = write(state(), tmp_path, kind)
    data = bytearray(path.read_bytes())
    if damage == "cut":
        del data[len(data) // 2 :]
    else:  # a bit of the last values
        place = data.rfind(state()["fc3.weight"].tobytes())
        data[place + 3] ^= 1
    path.write_bytes(data)
    model = mlp(0.5)
    before = [w.pattern for w in weights(model)]
    with pytest.raises(ValueError, match=re.escape(str(path))):
        models.import_dense(model, path)
    assert [w.pattern for w in weights(model)] == before


def test_lists_and_bfloat16(tmp_path: Path) -> None:
    lists = {name: array.tolist() for name, array in state().items()}
    model = mlp()
    models.import_dense(model, lists)
    assert np.array_equal(weights(model)[1].to_scipy().toarray(), state()["fc2.weight"])
    path = tmp_path / "a.safetensors"
    bits = {n: (a.view(np.uint32) >> 16).astype(np.uint16) for n, a in state().items()}
    safetensors.write(path, bits)
    # As another program writes it, without our checksum.
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    del header["__metadata__"]
    text = json.dumps(header).replace("U16", "BF16").encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    models.import_dense(model, path)
    for i, weight in enumerate(weights(model), 1):
        wanted = state()[f"fc{i}.weight"].view(np.uint32) >> 16 << 16
        assert np.array_equal(weight.to_scipy().toarray(), wanted.view(np.float32))
