"""`am.run`: what the arrays are decides how a program runs, and what does not fit is refused by name."""

import numpy as np
import pytest
import torch

import attometer as am
from attometer.errors import AttometerError

Q, K, V = (np.random.default_rng(seed).standard_normal((1, 4, 6, 8)) for seed in range(3))


@pytest.mark.parametrize("name", ["softmax", "gqa", "sliding_window", "longformer"])
def test_tensors_run_what_arrays_are_interpreted_as(name: str) -> None:
    kv = slice(0, 2 if name == "gqa" else 4)
    given = {"Q": Q, "K": K[:, kv], "V": V[:, kv]}
    sizes = {"w": 3} if name == "sliding_window" else {"w": 2, "q": 1} if name == "longformer" else {}
    sizes = {k: v for k, v in sizes.items() if k in map(str, am.mechanism(name).program.symbols)}
    wanted = am.run(name, **given, **sizes)["O"]
    fast = am.run(name, **{k: torch.from_numpy(v) for k, v in given.items()}, **sizes)
    assert fast.how.startswith("attometer.run.attention, ")
    np.testing.assert_allclose(fast["O"].numpy(), wanted, rtol=0, atol=1e-12)


def test_a_schedule_counts_what_it_moved() -> None:
    flat = {"Q": Q[0], "K": K[0], "V": V[0]}
    done = am.run(am.mechanism("softmax", causal=True), "flash2", M=200, **flat, B_r=2, B_c=2, B_d=8, B_e=8)
    wanted = am.run(am.mechanism("softmax", causal=True), Q=Q, K=K, V=V)["O"][0]
    np.testing.assert_allclose(done["O"], wanted, rtol=0, atol=1e-12)
    counted = am.count(am.mechanism("softmax", causal=True), "flash2").traffic.at(b=1, h=4, n=6, d=8, B_r=2, B_c=2)
    assert done.execution.words == done.to_dict()["words"] == counted.words


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: am.run(3), "run takes a Program, a mechanism or its name, got int"),
        (lambda: am.run("softmx"), 'unknown mechanism "softmx"; did you mean "softmax"?'),
        (lambda: am.run("softmax", M=3, Q=Q, K=K, V=V), "M = 3 is the fast memory of a schedule"),
        (lambda: am.run("softmax", "flash2", Q=Q, K=K, V=V), 'schedule "flash2" needs M'),
        (lambda: am.run("linear", "flash2", M=9, Q=Q, K=K, V=V), "run softmax attention as the catalogue writes it"),
        (lambda: am.run("softmax", impl="tiled", Q=Q, K=K, V=V), 'impl "tiled" runs torch tensors'),
        (lambda: am.run("softmax", Q=torch.ones(1, 1, 2, 2)), "takes Q, K and V alone, got Q"),
        (lambda: am.run("matmul", A=[[1.0]], B=[[1.0]])["O"], 'no result is called "O"; known: Y'),
    ],
)
def test_refusals(call: object, said: str) -> None:
    with pytest.raises(AttometerError) as error:
        call()  # type: ignore[operator]
    assert said in str(error.value)
