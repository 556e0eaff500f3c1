"""Every registered primitive: value, derivatives, dtypes and memory order."""

from __future__ import annotations

import numpy as np
import pytest

import sparsenn.ops  # noqa: F401  (registers the primitives)
from sparsenn.autograd import REGISTRY, Primitive, Sample, Tensor, grad, gradcheck
from sparsenn.autograd.array import as_order, is_activation

NAMES = sorted(REGISTRY)


def samples(prim: Primitive) -> list[Sample]:
    assert prim.sample is not None, f"{prim.name} has no sample generator"
    found = list(prim.sample(np.random.default_rng(0)))
    assert found, f"{prim.name} has an empty sample generator"
    return found


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_to_second_order(name):
    prim = REGISTRY[name]
    for sample in samples(prim):
        assert gradcheck(lambda *xs, s=sample: prim(*xs, **s.static), sample.inputs)


@pytest.mark.parametrize("name", [n for n in NAMES if REGISTRY[n].reference])
def test_value_against_float64_reference(name):
    prim = REGISTRY[name]
    for sample in samples(prim):
        expected = prim.reference(*sample.inputs, **sample.static)
        for dtype, eps in ((np.float64, 2.3e-16), (np.float32, 1.2e-7)):
            got = prim(*(x.astype(dtype) for x in sample.inputs), **sample.static)
            assert got.shape == np.shape(expected)
            assert got.dtype == dtype
            terms = max(1.0, *(float(np.abs(x).sum()) for x in sample.inputs))
            np.testing.assert_allclose(got.data, expected, rtol=0, atol=8 * eps * terms)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "astype"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", [True, False])
def test_dtype_shape_and_memory_order(name, dtype, activation):
    prim = REGISTRY[name]
    for sample in samples(prim):
        arrays = [as_order(x.astype(dtype), activation) for x in sample.inputs]
        variables = [Tensor(x, requires_grad=True) for x in arrays]
        out = prim(*variables, **sample.static)
        assert out.dtype == dtype
        if activation and not prim.view and sample.static.get("activation", True):
            assert is_activation(out.data), sample
        for create_graph in (False, True):
            gs = grad(
                out,
                variables,
                create_graph,
                allow_unused=True,
                gradient=np.ones_like(out.data),
                retain_graph=True,
            )
            for g, x in zip(gs, arrays, strict=True):
                if g is None:
                    continue
                assert g.dtype == dtype
                assert g.shape == x.shape
                order = (
                    is_activation(g.data) if activation else g.data.flags.c_contiguous
                )
                assert order, sample
                assert not any(np.shares_memory(g.data, a) for a in arrays)
                assert not np.shares_memory(g.data, out.data) or prim.view


@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_not_written(name):
    prim = REGISTRY[name]
    for sample in samples(prim):
        arrays = [x.copy() for x in sample.inputs]
        for a in arrays:
            a.flags.writeable = False
        variables = [Tensor(x, requires_grad=True) for x in arrays]
        out = prim(*variables, **sample.static)
        seed = np.ones_like(out.data)
        seed.flags.writeable = False
        grad(out, variables, allow_unused=True, gradient=seed)


@pytest.mark.parametrize("name", NAMES)
def test_fused_and_recorded_gradients_agree(name):
    prim = REGISTRY[name]
    rng = np.random.default_rng(1)
    for sample in samples(prim):
        variables = [Tensor(x, requires_grad=True) for x in sample.inputs]
        out = prim(*variables, **sample.static)
        seed = rng.standard_normal(out.shape)
        options = {"allow_unused": True, "gradient": seed, "retain_graph": True}
        fused = grad(out, variables, False, **options)
        recorded = grad(out, variables, True, **options)
        terms = 1 + np.abs(seed).sum()
        terms *= 1 + sum(float(np.abs(x).sum()) for x in sample.inputs)
        for f, r in zip(fused, recorded, strict=True):
            assert (f is None) == (r is None)
            if f is not None:
                bound = 8 * np.finfo(np.float64).eps * terms
                np.testing.assert_allclose(f.data, r.data, rtol=0, atol=bound)
