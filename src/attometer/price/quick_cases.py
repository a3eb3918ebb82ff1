"""What a quick calibration times: products, copies, steps of a layer, attention, and small models, each with its row."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import cycle
from typing import Any

import torch
from torch.nn import functional

from attometer.price.quick_model import Adam, Shape, runner

#: rows × columns × depth of products, as layers of small and large models have them
PRODUCTS = (
    *((1, 2048, 2048), (4, 4096, 1024), (16, 1024, 4096), (32, 3072, 768), (64, 768, 3072), (96, 512, 512)),
    *((128, 2304, 768), (200, 1000, 1000), (256, 256, 256), (384, 1536, 384), (512, 768, 768), (512, 2048, 512)),
    *((1, 768, 768), (1, 256, 1024), (1, 3072, 768), (1, 768, 3072), (1, 50257, 256), (8, 256, 256)),
    *((2, 50257, 256), (3, 1024, 1536), (2, 768, 384), (4, 1536, 512), (180, 50257, 384), (4, 50257, 768)),
    *((768, 768, 3072), (1024, 1024, 1024), (1024, 3072, 768), (2048, 512, 2048), (17, 333, 777), (640, 640, 64)),
)
#: bytes of a working set that is read and written
SETS = (1 << 14, 1 << 17, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28)
#: batch, heads, length, width of a head, causal
ATTENTION = (
    *((1, 4, 64, 64, 0), (1, 12, 128, 64, 1), (1, 12, 512, 64, 1), (1, 8, 1024, 64, 0), (2, 12, 256, 64, 1)),
    *((1, 4, 1024, 128, 1), (4, 4, 128, 32, 0), (1, 2, 2048, 64, 1), (1, 16, 384, 64, 0), (8, 8, 64, 64, 1)),
    *((2, 5, 700, 48, 0), (1, 6, 1500, 80, 1), (4, 3, 90, 96, 0), (1, 10, 200, 32, 1)),
)
#: batch, heads, keys, width of a head: one query each
CACHED = (
    *((1, 12, 128, 64), (4, 8, 512, 64), (1, 8, 2048, 128), (16, 12, 256, 64), (2, 4, 64, 32)),
    *((1, 12, 1024, 64), (8, 16, 96, 32), (2, 8, 256, 128)),
)
#: rows and width of norms and activations
STEPS = ((1, 768), (4, 256), (16, 512), (128, 256), (128, 768), (512, 768), (256, 3072), (1024, 1024))
#: tokens and vocabulary of a loss; entries and width of a table of embeddings
LOSSES = ((16, 1024), (64, 256), (256, 2048), (128, 8192), (64, 50257), (192, 50257))
TABLES = ((256, 64), (1024, 256), (4096, 256), (16384, 512), (40000, 512))
#: elements of a tensor that an optimizer moves
MOVED = (1 << 8, 1 << 13, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24)
#: layers, width, heads, vocabulary, batch, length
MODELS = tuple(
    Shape(*each)
    for each in (
        (2, 64, 2, 256, 1, 16),
        (6, 64, 2, 256, 2, 32),
        (3, 256, 4, 2048, 2, 64),
        (2, 384, 6, 4096, 1, 256),
        (1, 768, 12, 8192, 1, 128),
        (2, 512, 8, 8192, 4, 96),
        (4, 320, 5, 1024, 1, 384),
        (6, 128, 4, 4096, 4, 128),
    )
)
PAGES = "this_pages"  # the row of what new pages cost
_NEW = 1 << 26  # bytes of them
_COLD = 1 << 26  # bytes of weights that take turns, so that a product reads its own from where a model keeps them


@dataclass(frozen=True)
class Case:
    """One thing to time: the cells of its row, and a function that runs it once."""

    cells: dict[str, str]
    run: Callable[[], Any]


def types(device: str) -> dict[str, torch.dtype]:
    """Return the data types that are timed on a device, by name: those in which it multiplies."""
    known = {"fp32": torch.float32, "bf16": torch.bfloat16}
    return (
        known if device == "cpu" or torch.cuda.is_bf16_supported() else {"fp32": torch.float32, "fp16": torch.float16}
    )


def engine() -> str:
    """Return the name of the engine of what is timed here.

    >>> engine().split(" ")[0]
    'torch'
    """
    return f"torch {'.'.join(torch.__version__.split('+')[0].split('.')[:2])}"


def row(source: str, mode: str = "kernel_fwd", **cells: object) -> dict[str, str]:
    """Return the cells of a row of the schema, its time left out."""
    plain = {"source_id": source, "hw_id": "this", "engine": engine(), "metric": "latency", "unit": "ms", "tier": "A"}
    text = {name: str(value) for name, value in cells.items()}
    return {**plain, "mode": mode, "split_group": f"{source}-{mode}-{'-'.join(text.values())}", **text}


def cases(device: str = "cpu") -> Iterator[Case]:
    """Yield every case; what needs memory is made when its turn comes to be made, not to be timed."""
    yield from _copies(device)
    kinds = types(device)
    for name, dtype in kinds.items():
        for m, n, k in PRODUCTS:
            yield from products(m, n, k, name, dtype, device)
        for b, h, s, d, causal in ATTENTION:
            yield from attention(b, h, s, d, causal, name, dtype, device)
        for b, h, s, d in CACHED:
            q, k, v = (torch.randn(b, h, length, d, device=device).to(dtype) for length in (1, s, s))
            shape = {"batch": b, "n_heads": h, "n_kv_heads": h, "kv_len": s, "head_dim": d}
            run = partial(functional.scaled_dot_product_attention, q, k, v)
            yield Case(row("this_attention", "kernel_decode", dtype=name, arch_kind="attention-kernel", **shape), run)
        yield from _steps(name, dtype, device)
        for model in MODELS:
            for mode in ("prefill", "decode", "train"):
                yield passes(mode, model, name, dtype, device)


def products(m: int, n: int, k: int, name: str, dtype: torch.dtype, device: str) -> Iterator[Case]:
    """Yield a product with weights and a bias, and the two products of its gradients."""
    x, g = (torch.randn(shape, device=device).to(dtype) for shape in ((m, k), (m, n)))
    bias, pool = torch.zeros(n, device=device, dtype=dtype), _pool(dtype, device)
    if n * k > len(pool):
        pool = torch.randn(n * k, device=device).to(dtype)
    copies = cycle(pool[: len(pool) // (n * k) * n * k].view(-1, n, k))
    shape = f"m={m};n={n};k={k}"
    yield Case(row("this_gemm", dtype=name, extra=shape), lambda: functional.linear(x, next(copies), bias))
    if m > 1:
        back = f"m={m};n={k};k={n};gradient=inputs"
        yield Case(row("this_gemm", dtype=name, extra=back), lambda: g @ next(copies))
        of_weights = f"m={n};n={k};k={m};gradient=weights"
        yield Case(row("this_gemm", dtype=name, extra=of_weights), lambda: g.t() @ x)


def pages() -> Case:
    """Return the touching of memory that the system hands out anew, and takes back."""
    return Case(row(PAGES, PAGES, extra=f"bytes={_NEW}"), lambda: torch.ones(_NEW // 4))


@lru_cache(maxsize=4)
def _pool(dtype: torch.dtype, device: str) -> torch.Tensor:
    return torch.randn(_COLD // torch.finfo(dtype).bits * 8, device=device).to(dtype)


def attention(
    b: int, h: int, s: int, d: int, causal: int, name: str, dtype: torch.dtype, device: str
) -> Iterator[Case]:
    """Yield attention over `s` queries and keys, and its gradients."""
    # as a projection lays them out
    laid = torch.randn(b, s, 3, h, d, device=device).to(dtype).requires_grad_()
    shape = {"batch": b, "n_heads": h, "n_kv_heads": h, "seq_len": s, "kv_len": s, "head_dim": d, "causal": causal}
    cells = {"dtype": name, "arch_kind": "attention-kernel", **{key: str(value) for key, value in shape.items()}}

    def forward() -> torch.Tensor:
        q, k, v = laid.permute(2, 0, 3, 1, 4)
        return functional.scaled_dot_product_attention(q, k, v, is_causal=bool(causal))

    yield Case(row("this_attention", "kernel_fwd", **cells), torch.no_grad()(forward))
    yield Case(row("this_attention", "kernel_bwd", **cells), _backward(forward, [laid]))


def passes(mode: str, shape: Shape, name: str, dtype: torch.dtype, device: str) -> Case:
    """Return a pass of a small model."""
    cells = dict(zip(("n_layers", "hidden_size", "n_heads", "vocab", "batch", "seq_len"), shape, strict=True))
    return Case(row("this_pass", f"pass_{mode}", dtype=name, **cells), runner(mode, shape, dtype, device))


def _backward(forward: Callable[[], Any], of: list[torch.Tensor]) -> Callable[[], Any]:
    made = forward()
    outputs = made if isinstance(made, tuple) else (made,)
    given = [torch.ones_like(each) for each in outputs]
    return lambda: torch.autograd.grad(outputs, of, given, retain_graph=True, allow_unused=True)


def _copies(device: str) -> Iterator[Case]:
    for size in SETS:
        source = torch.randn(size // 8, device=device)
        target = torch.empty_like(source)
        width = max(1, size // 8 // 64)
        run = partial(target.copy_, source)
        yield Case(row("this_operation", dtype="fp32", extra="op=copy;tokens=64", hidden_size=width), run)


def _steps(name: str, dtype: torch.dtype, device: str) -> Iterator[Case]:
    def both(op: str, forward: Callable[[], Any], of: list[torch.Tensor], tokens: int, **cells: int) -> Iterator[Case]:
        text = {"dtype": name, "extra": f"op={op};tokens={tokens}"} | {key: str(value) for key, value in cells.items()}
        yield Case(row("this_operation", "kernel_fwd", **text), torch.no_grad()(forward))
        yield Case(row("this_operation", "kernel_bwd", **text), _backward(forward, of))

    def filled(*shape: int) -> torch.Tensor:
        return torch.randn(shape, device=device).to(dtype).requires_grad_()

    for rows, width in STEPS:
        x, r, scale, shift = filled(rows, width), filled(rows, width), filled(width), filled(width)

        def normed(x: Any = x, r: Any = r, scale: Any = scale, shift: Any = shift) -> tuple[torch.Tensor, ...]:
            total = x + r
            return total, functional.layer_norm(total, (total.shape[-1],), scale, shift)

        yield from both("layernorm", normed, [x, r, scale, shift], rows, hidden_size=width)
        gelu = partial(functional.gelu, x, approximate="tanh")
        yield from both("act_fn", gelu, [x], rows, ffn_hidden=width)
        half, sine = width // 2, torch.randn(rows, width // 2, device=device).to(dtype)

        def turned(x: Any = x, half: int = half, sine: Any = sine) -> torch.Tensor:
            left, right = x[:, :half], x[:, half : 2 * half]
            return torch.cat((left * sine - right * sine, right * sine + left * sine), dim=1)

        one = {"n_heads": 1, "n_kv_heads": 0, "head_dim": width}
        yield from both("rotary_emb", turned, [x], rows, **one)
    for rows, width in LOSSES:
        x, labels = filled(rows, width), torch.randint(width, (rows,), device=device)

        def lost(x: Any = x, labels: Any = labels) -> torch.Tensor:
            return functional.cross_entropy(x.float(), labels)

        yield from both("loss", lost, [x], rows, vocab=width)
        told = row("this_operation", dtype=name, extra=f"op=sampler;tokens={rows}", vocab=width)
        yield Case(told, partial(torch.argmax, x.detach(), dim=-1))
    for entries, width in TABLES:
        table, ids = filled(entries, width), torch.randint(entries, (128,), device=device)
        other = torch.zeros(entries, width, device=device, dtype=dtype)
        look = partial(functional.embedding, ids, table)
        told = row("this_operation", dtype=name, extra="op=embedding;tokens=128", hidden_size=width)
        yield Case(told, torch.no_grad()(look))
        for op, run in (("table", _backward(look, [table])), ("tied", partial(torch.add, table.detach(), other))):
            told = row("this_operation", dtype=name, extra=f"op={op};tokens={entries}", hidden_size=width)
            yield Case(told, run)
    for size in MOVED:
        p = torch.nn.Parameter(filled(size // 64, 64).detach())
        adam, gradient = Adam([p]), torch.randn(size // 64, 64, device=device).to(dtype)

        def moved(p: Any = p, adam: Any = adam, gradient: Any = gradient) -> None:
            p.grad = gradient
            adam.step()

        yield Case(row("this_operation", dtype=name, extra="op=optimizer;tokens=64", hidden_size=size // 64), moved)
