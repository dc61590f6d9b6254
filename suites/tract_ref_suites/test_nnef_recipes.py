"""NNEF operators that become several nodes, against loops over elements."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tract_ref import Plan, declutter
from tract_ref.errors import MalformedFile, Refused
from tract_ref.ir.model import Model
from tract_ref.nnef.reader import parse_model
from tract_ref.nnef.writer import model_text

HEAD = "version 1.0;\n" + "".join(
    f"extension tract_registry {name};\n" for name in ("tract_core", "tract_transformers")
)
RNG = np.random.default_rng(11)
IMAGE = RNG.standard_normal((2, 4, 3, 5)).astype(np.float32)
ROWS = RNG.standard_normal((2, 3, 4)).astype(np.float32)
X = "x = external(shape = [2, 4, 3, 5]);"
R = "x = external(shape = [2, 3, 4]);"


def read(*lines: str, inputs: str = "x") -> Model:
    return parse_model(f"{HEAD}graph g({inputs}) -> (y) {{ {' '.join(lines)} }}")


def run(model: Model, **inputs: np.ndarray) -> np.ndarray:
    text = model_text(parse_model(model_text(model)))
    assert model_text(parse_model(text)) == text
    value = Plan(model, fast=False).run(inputs)["y"]
    np.testing.assert_array_equal(Plan(declutter(model), fast=False).run(inputs)["y"], value)
    return value


@pytest.mark.parametrize("size", [[1, 3, 1, 1], [1, 2, 1, 1], [1, 1, 3, 1], [1, 5, 3, 3]])
def test_local_response_normalization_counts_channels(size: list[int]) -> None:
    line = (
        f"y = local_response_normalization(x, size = {size}, alpha = 0.5, beta = 0.75, bias = 2.0);"
    )
    found = run(read(X, line), x=IMAGE)
    before = [(n - 1) // 2 for n in size]
    for at in np.ndindex(*IMAGE.shape):
        total = 0.0
        for step in np.ndindex(*size):
            place = tuple(a + s - b for a, s, b in zip(at, step, before, strict=True))
            if all(0 <= p < n for p, n in zip(place, IMAGE.shape, strict=True)):
                total += float(IMAGE[place]) ** 2
        expected = float(IMAGE[at]) / (2 + 0.5 * total / math.prod(size)) ** 0.75
        assert math.isclose(found[at], expected, rel_tol=1e-5, abs_tol=1e-6)


def test_multilinear_upsample_is_linear_between_centres() -> None:
    ramp = np.arange(4, dtype=np.float32).reshape(1, 1, 4)
    source = "x = external(shape = [1, 1, 4]);"
    found = run(read(source, "y = multilinear_upsample(x, factor = [2]);"), x=ramp)
    assert found.ravel().tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    aligned = "y = multilinear_upsample(x, factor = [2], method = 'aligned');"
    np.testing.assert_allclose(
        run(read(source, aligned), x=ramp).ravel(), np.linspace(0, 3, 8), rtol=1e-6, atol=1e-6
    )
    with pytest.raises(Refused, match="border 'constant'; use border = 'replicate'"):
        read(source, "y = multilinear_upsample(x, factor = [2], border = 'constant');")
    with pytest.raises(MalformedFile, match="method='cubic'"):
        read(source, "y = multilinear_upsample(x, factor = [2], method = 'cubic');")


def test_rms_pool_is_the_root_of_the_mean_square() -> None:
    pads = "padding = [(0, 0), (0, 0), (0, 0), (0, 0)], stride = [1, 1, 1, 2]"
    found = run(read(X, f"y = rms_pool(x, size = [1, 1, 2, 3], {pads});"), x=IMAGE)
    assert found.shape == (2, 4, 2, 2)
    for n, c, i, j in np.ndindex(*found.shape):
        window = IMAGE[n, c, i : i + 2, 2 * j : 2 * j + 3].astype(np.float64)
        expected = math.sqrt((window**2).sum() / 6)
        assert math.isclose(found[n, c, i, j], expected, rel_tol=1e-5)


def softmax(row: list[float]) -> list[float]:
    top = max(row)
    powers = [math.exp(v - top) if v > -math.inf else 0.0 for v in row]
    return [p / sum(powers) for p in powers]


@pytest.mark.parametrize("post", [False, True])
def test_scaled_masked_softmax_by_bools(post: bool) -> None:
    mask = np.tril(np.ones((3, 4), bool), 0)[None].repeat(2, 0)
    mask[1, 2] = not post
    line = "y = tract_transformers_scaled_masked_softmax(x, m, scale = 0.5, "
    line += f"post_softmax_mask = {'true' if post else 'false'});"
    source = "m = external<logical>(shape = [2, 3, 4]);"
    found = run(read(R, source, line, inputs="x, m"), x=ROWS, m=mask)
    for n, i in np.ndindex(2, 3):
        if not mask[n, i].any():
            assert found[n, i].tolist() == [0, 0, 0, 0]
            continue
        pairs = zip(ROWS[n, i], mask[n, i], strict=True)
        row = softmax([float(v) / 2 if seen else -math.inf for v, seen in pairs])
        np.testing.assert_allclose(found[n, i], row, rtol=1e-5, atol=1e-7)


def test_a_row_that_is_all_masked_is_nan_without_a_post_mask() -> None:
    line = "y = tract_transformers_scaled_masked_softmax(x, m, scale = 0.5);"
    source = "m = external<logical>(shape = [2, 3, 4]);"
    found = run(read(R, source, line, inputs="x, m"), x=ROWS, m=np.zeros((2, 3, 4), bool))
    assert np.isnan(found).all()


def test_scaled_masked_softmax_by_numbers() -> None:
    mask = RNG.standard_normal((2, 3, 4)).astype(np.float32)
    line = "y = tract_transformers_scaled_masked_softmax(x, m, scale = 2.0);"
    source = "m = external(shape = [2, 3, 4]);"
    found = run(read(R, source, line, inputs="x, m"), x=ROWS, m=mask)
    for n, i in np.ndindex(2, 3):
        row = softmax(
            [2 * float(a) + float(b) for a, b in zip(ROWS[n, i], mask[n, i], strict=True)]
        )
        np.testing.assert_allclose(found[n, i], row, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("lines", "starts"),
    [
        (("m = external(shape = [3, 4]);", "scale = 1.0"), "scale=1.0 and mask 3,4,f32 for an"),
        (("m = external(shape = [2, 3, 4]);", "scale = 0.0"), "scale=0.0 and mask"),
        (
            ("m = external(shape = [2, 3, 4]);", "scale = 1.0, post_softmax_mask = true"),
            "post_softmax_mask=true needs a mask of bools",
        ),
    ],
)
def test_a_masked_softmax_that_cannot_be(lines: tuple[str, str], starts: str) -> None:
    call = f"y = tract_transformers_scaled_masked_softmax(x, m, {lines[1]});"
    with pytest.raises(MalformedFile, match=starts):
        read(R, lines[0], call, inputs="x, m")


def test_apply_rope_turns_pairs_of_halves() -> None:
    cos, sin = (RNG.standard_normal((2, 3, 4)).astype(np.float32) for _ in range(2))
    sources = "c = external(shape = [2, 3, 4]); s = external(shape = [2, 3, 4]);"
    line = "y = tract_transformers_apply_rope(x, c, s);"
    found = run(read(R, sources, line, inputs="x, c, s"), x=ROWS, c=cos, s=sin)
    for n, i, k in np.ndindex(*ROWS.shape):
        other = -ROWS[n, i, k + 2] if k < 2 else ROWS[n, i, k - 2]
        expected = float(ROWS[n, i, k]) * float(cos[n, i, k]) + float(other) * float(sin[n, i, k])
        assert math.isclose(found[n, i, k], expected, rel_tol=1e-5, abs_tol=1e-6)
    with pytest.raises(MalformedFile, match="the last axis is even"):
        read("x = external(shape = [2, 3]);", "y = tract_transformers_apply_rope(x, x, x);")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("y = max_pool_with_index(x, size = [1, 1, 2, 2]);", "gives indices"),
        ("y = separable_conv(x, x, x);", "is two convolutions"),
        ("y = debox(x, size = [1, 1, 2, 2]);", "is a deconvolution of each channel"),
        ("y = tract_core_grid_sample(x, x);", "samples at positions given by a tensor"),
    ],
)
def test_what_is_not_read_is_refused_with_a_remedy(line: str, words: str) -> None:
    with pytest.raises(Refused, match=words) as caught:
        read(X, line)
    assert caught.value.remedy
