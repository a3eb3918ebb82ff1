"""Every mechanism of the catalogue: named, cited, printed, frozen, and able to run on the inputs that it draws."""

import re
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import sympy
from plain import SMALL, drawn

from attometer.errors import AttometerError
from attometer.mechanisms import MECHANISMS, mechanism
from attometer.program import causal, parse, size, window

# Every mechanism that the project promises, by name.
PROMISED = [
    "softmax", "cross_attention", "mqa", "gqa", "mla", "mla_absorbed",
    "sliding_window", "longformer", "bigbird", "sparse_transformer_strided", "sparse_transformer_fixed", "linformer",
    "performer", "polynomial", "linear", "linear_causal", "linear_chunked", "hyperattention", "alibi",
    "rope", "sinusoidal", "decode", "rnn", "lstm", "gru",
    "projections", "attention_layer", "layernorm", "rmsnorm", "ffn", "gated_ffn",
    "moe", "topk", "ssm", "gated_delta", "elementwise", "sum",
    "tensor_product", "matmul", "softmax_row", "attention_sinks", "relative_bias", "disentangled", "mamba",
    "mamba2", "wkv", "short_convolution", "projection", "embedding", "head_norm",
]  # fmt: skip


def test_catalogue_holds_what_is_promised() -> None:
    assert sorted(MECHANISMS) == sorted(PROMISED)


@pytest.mark.parametrize("name", MECHANISMS)
def test_runs_on_what_it_draws(name: str) -> None:
    made, arrays, results = drawn(name)
    assert made.name == name
    assert set(arrays) == {t.name for t in made.program.inputs}
    for tensor in made.program.outputs:
        numbers = {size(k): v for k, v in SMALL.items()}
        expected = tuple(int(sympy.sympify(e).subs(numbers)) for e in tensor.extents)
        assert results[tensor.name].shape == expected
        assert np.isfinite(results[tensor.name]).all()
        assert np.ptp(results[tensor.name]) > 0 or results[tensor.name].ndim == 0


@pytest.mark.parametrize("name", MECHANISMS)
def test_prints_as_it_parses_and_is_cited(name: str) -> None:
    made = mechanism(name)
    assert parse(str(made.program)) == made.program
    assert re.search(r"(19|20)\d\d", made.citation)
    assert str(made).startswith(f"{name}: {made.title} (")
    assert len(made.program.statements) <= 30
    assert hash(made) == hash(mechanism(name))
    assert made == mechanism(name)
    with pytest.raises(FrozenInstanceError):
        made.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("name", MECHANISMS)
def test_defaults_are_numbers_for_the_symbols_left(name: str) -> None:
    made = mechanism(name)
    left = {str(s) for s in made.program.symbols}
    assert set(made.defaults) <= left
    assert all(isinstance(v, int) and v > 0 for v in made.defaults.values())
    assert all(p.meaning for p in made.parameters.values())


def test_same_seed_same_inputs() -> None:
    one, two, three = (drawn("performer", draw_seed=s)[1]["W"] for s in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, three)


def test_parameters_replace_symbols() -> None:
    assert str(size("w")) in {str(s) for s in mechanism("sliding_window").program.symbols}
    assert "window(i, j, 7)" in str(mechanism("sliding_window", w=7).program)
    assert "window(i, j, k)" in str(mechanism("sliding_window", w="k").program)
    assert mechanism("softmax", m="m").program.shape("K") == tuple(map(size, "bhmd"))
    assert mechanism("softmax", e=32).program.shape("V") == (*map(size, "bhn"), 32)
    assert "causal(i, j) & window(i, j, 4)" not in str(mechanism("softmax", causal=True).program)
    assert "where causal(i, j)" in str(mechanism("softmax", mask=causal()).program)
    assert (
        mechanism("softmax", causal=True, mask=window(4)).program
        == mechanism("softmax", mask=causal() & window(4)).program
    )
    assert "random(i, j, 5, 3)" in str(mechanism("bigbird", r=5, seed=3).program)


ERRORS = [
    (lambda: mechanism("sliding_windw"), 'unknown mechanism "sliding_windw"; did you mean "sliding_window"?'),
    (lambda: mechanism("sofmax"), 'unknown mechanism "sofmax"; did you mean "softmax"?'),
    (
        lambda: mechanism("softmax", causl=True),
        'unknown parameter of mechanism "softmax" "causl"; did you mean "causal"?',
    ),
    (lambda: mechanism("rnn", w=3), 'mechanism "rnn" takes no parameters, got "w"'),
    (lambda: mechanism("sliding_window", w=0), "parameter w must be a positive integer or a size symbol, got 0"),
    (lambda: mechanism("sliding_window", w=2.5), "parameter w must be a positive integer or a size symbol, got 2.5"),
    (lambda: mechanism("sliding_window", w=True), "parameter w must be a positive integer or a size symbol, got True"),
    (lambda: mechanism("softmax", causal=1), "parameter causal must be True or False, got 1"),
    (
        lambda: mechanism("softmax", mask=256),
        "parameter mask must be a mask such as causal() or window(256), its text, or None, got 256",
    ),
    (
        lambda: mechanism("moe", routing="sigmod"),
        'unknown parameter routing "sigmod"; did you mean "sigmoid"?',
    ),
    (
        lambda: mechanism("softmax", mask="windw(256)"),
        'notation line 1, column 1: unknown mask "windw"; did you mean "window"?',
    ),
    (lambda: mechanism("bigbird", r=0), "parameter r must be an integer of at least 1, got 0"),
    (lambda: mechanism("bigbird", seed=-1), "parameter seed must be an integer of at least 0, got -1"),
    (lambda: mechanism("longformer", w=7), 'mechanism "longformer" needs w to be a multiple of 2, got w = 7'),
    (
        lambda: mechanism("gqa", g=3).sizes(b=1, h=4, n=8, d=8),
        'mechanism "gqa" needs h to be a multiple of g = 3, got h = 4',
    ),
    (
        lambda: mechanism("linear_chunked").sizes(b=1, h=1, n=100, d=8),
        'mechanism "linear_chunked" needs n to be a multiple of B = 64, got n = 100',
    ),
    (
        lambda: mechanism("topk").sizes(b=1, h=1, n=100, d=8),
        'mechanism "topk" needs k to be at most n = 100, got k = 2048',
    ),
    (lambda: mechanism("moe", E=4, k=5), 'mechanism "moe" needs k to be at most E = 4, got k = 5'),
    (
        lambda: mechanism("softmax").sizes(b=1, h=1, n=4),
        'size d of mechanism "softmax" is not given; give it, as in d=64',
    ),
    (lambda: mechanism("softmax").sizes(b=1, h=1, n=4, dd=4), 'unknown size "dd"; did you mean "d"?'),
    (lambda: mechanism("softmax").sizes(b=1, h=1, n=-4, d=4), "size n must be a positive integer, got -4"),
    (
        lambda: mechanism("softmax").draw({"b": 1, "h": 1, "n": 2.0, "d": 4}, np.random.default_rng(0)),  # type: ignore[dict-item]
        "size n must be a positive integer, got 2.0",
    ),
]


@pytest.mark.parametrize(("act", "words"), ERRORS, ids=[words for _, words in ERRORS])
def test_errors_name_the_thing(act: object, words: str) -> None:
    with pytest.raises(AttometerError) as caught:
        act()  # type: ignore[operator]
    assert str(caught.value) == words
