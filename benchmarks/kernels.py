"""Compiled nests beside torch's own kernels: medians of CPU time on one thread, every case interleaved in one run.

python benchmarks/kernels.py [--quick] [--threads 2]    (CPU time counts all threads; with two, wall time is read instead)
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from attometer.emit.build import has_bf16, processor
from attometer.program import Mask, band, block, causal, global_, random, strided, window
from attometer.run import Sinks, SoftCap, attention, favor_features, linear_attention, performer_attention

Work = Callable[[], Any]
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def medians(works: list[Work], repeats: int, clock: Callable[[], float]) -> list[float]:
    """Return the median seconds of each, one after another in every round; the first round warms up."""
    taken: list[list[float]] = [[] for _ in works]
    for turn in range(repeats + 1):
        for work, seconds in zip(works, taken, strict=True):
            start = clock()
            work()
            if turn:
                seconds.append(clock() - start)
    return [statistics.median(x) for x in taken]


def forward(call: Callable[..., torch.Tensor], *qkv: torch.Tensor) -> None:
    with torch.no_grad():
        call(*qkv)


def training(call: Callable[..., torch.Tensor], grad: torch.Tensor, *qkv: torch.Tensor) -> None:
    torch.autograd.grad(call(*qkv), qkv, grad)


def ours(mask: Mask | None) -> Callable[..., torch.Tensor]:
    return partial(attention, mask=mask, impl="compiled")


def operands(n: int, d: int, dtype: torch.dtype, heads: tuple[int, int] = (8, 8), m: int | None = None) -> list[Any]:
    h, g = heads
    shapes = ((1, h, n, d), (1, g, m or n, d), (1, g, m or n, d), (1, h, n, d))
    q, k, v, grad = (torch.randn(shape).to(dtype) for shape in shapes)
    return [grad, *(x.requires_grad_() for x in (q, k, v))]


def exact(name: str, n: int, d: int, mask: Mask | None, report: Callable[..., None]) -> None:
    grad, *qkv = operands(n, d, TYPES[name])
    sdpa = partial(F.scaled_dot_product_attention, is_causal=mask is not None)
    square = torch.randn(1024, 1024).to(TYPES[name])
    flops = 4 * 8 * n * n * d / (2 if mask else 1)
    said = f"{name} {'causal' if mask else 'full'} n={n} d={d}"
    product: Work = lambda: square @ square  # noqa: E731
    for what, run, share in (("forward", forward, 1.0), ("forward+backward", training, 3.5)):
        more = (grad,) if run is training else ()
        works = [partial(run, call, *more, *qkv) for call in (ours(mask), sdpa)]
        report(f"{said} {what}", [*works, product], ["compiled", "torch SDPA"], share * flops, 2 * 1024**3)


def windows(name: str, n: int, report: Callable[..., None]) -> None:
    grad, *qkv = operands(n, 64, TYPES[name])
    mask = window(256)
    chunked = partial(attention, mask=mask, impl="sdpa_chunked")
    for what, run in (("forward", forward), ("forward+backward", training)):
        more = (grad,) if run is training else ()
        works = [partial(run, call, *more, *qkv) for call in (ours(mask), chunked)]
        report(f"{name} window 256 n={n} {what}", works, ["compiled", "chunked SDPA"])


def decode(name: str, report: Callable[..., None]) -> None:
    _, q, k, v = operands(1, 64, TYPES[name], (32, 8), 8192)
    sdpa = partial(F.scaled_dot_product_attention, enable_gqa=True)

    def packed(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return torch.softmax(q.view(1, 8, 4, 64) @ k.mT * 0.125, -1) @ v

    works = [partial(forward, call, q, k, v) for call in (ours(None), sdpa, packed)]
    report(f"{name} decode, 8192 keys, heads 32/8", works, ["compiled", "torch SDPA", "packed eager"])


def sparse(n: int, report: Callable[..., None]) -> None:
    grad, *qkv = operands(n, 64, torch.float32)
    masks = {
        "Longformer (256, 16 global)": band(128, 128) | global_(16),
        "BigBird (192, 64 global, 192 random)": band(96, 96) | global_(64) | random(192, 0),
        "BigBird in blocks of 64 (3, 2 global, 3 random)": band(96, 96) | global_(128) | random(3, 0, 64),
        "strided 64": causal() & (window(64) | strided(64)),
    }
    for said, mask in masks.items():
        dense = partial(F.scaled_dot_product_attention, attn_mask=torch.from_numpy(mask.matrix(n, n)))
        works = [partial(training, call, grad, *qkv) for call in (ours(mask), dense)]
        report(f"fp32 {said} n={n} forward+backward", works, ["compiled", "torch SDPA with the mask"])


class _Copy(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clone()


def _alone(module: Any) -> Any:
    """Return an attention module of transformers without its projections and dropout."""
    module.query = module.key = module.value = _Copy()
    return module.eval()


def _big_bird(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return BigBird's layout of blocks of 64 as transformers has it, and the 3 random ones of each row but the first and last."""
    blocks, draw = n // 64, np.random.default_rng(0)
    inner = np.arange(1, blocks - 1)
    layout = np.zeros((blocks, blocks), dtype=np.int64)
    layout[[0, -1]] = layout[:, [0, -1]] = 1
    drawn = np.stack([draw.permutation(inner[abs(inner - row) > 1])[:3] for row in inner])
    for row, own in zip(inner, drawn, strict=True):
        layout[row, row - 1 : row + 2] = layout[row, own] = 1
    return layout, drawn


def published(n: int, report: Callable[..., None]) -> None:
    """Time the sparse attention of transformers' BigBird and Longformer beside the same function."""
    from transformers import BigBirdConfig, LongformerConfig
    from transformers.models.big_bird.modeling_big_bird import BigBirdBlockSparseAttention, BigBirdModel
    from transformers.models.longformer.modeling_longformer import LongformerSelfAttention

    sizes = {"hidden_size": 512, "num_attention_heads": 8}
    x = torch.randn(1, n, 512, requires_grad=True)
    grad = torch.randn(1, n, 512)

    def compiled(mask: Mask) -> Callable[[torch.Tensor], torch.Tensor]:
        def run(x: torch.Tensor) -> torch.Tensor:
            held = x.unflatten(2, (8, 64)).transpose(1, 2)
            return attention(held, held, held, mask=mask, impl="compiled").transpose(1, 2).flatten(2)

        return run

    blocks = BigBirdConfig(**sizes, block_size=64, num_random_blocks=3, max_position_embeddings=n)
    bird = _alone(BigBirdBlockSparseAttention(blocks, seed=0))
    masks = BigBirdModel.create_masks_for_block_sparse_attn(torch.ones(1, n), 64)
    given = dict(zip(("from_blocked_mask", "band_mask", "from_mask", "to_mask"), masks, strict=True))
    given["to_blocked_mask"] = given["from_blocked_mask"]
    layout, drawn = _big_bird(n)  # of transformers' own draws each head has others
    bird._bigbird_block_rand_mask = lambda *_, **__: drawn
    bird._bigbird_block_rand_mask_with_head = lambda *_, **__: [drawn] * 8
    chunks = LongformerConfig(**sizes, attention_window=[256])
    long = _alone(LongformerSelfAttention(chunks, 0))
    none = torch.zeros(1, n)
    nothing = {"is_index_masked": none.bool(), "is_index_global_attn": none.bool(), "is_global_attn": False}
    cases: dict[str, tuple[Mask, Callable[[torch.Tensor], torch.Tensor]]] = {
        "BigBird, the same blocks": (block(64, layout.tolist()), lambda x: bird(x, **given)[0]),
        "Longformer (256)": (band(128, 128), lambda x: long(x, none, **nothing)[0]),
    }
    for said, (mask, peer) in cases.items():
        torch.testing.assert_close(compiled(mask)(x), peer(x), atol=1e-4, rtol=1e-4)
        works = [partial(training, call, grad, x) for call in (compiled(mask), peer)]
        report(f"fp32 {said} n={n} forward+backward", works, ["compiled", "transformers"])


def recurrent(n: int, report: Callable[..., None]) -> None:
    """Time causal linear attention and a causal Performer beside prefix sums of chunks, as performer-pytorch forms them."""
    grad, *qkv = operands(n, 64, torch.float32)
    features = favor_features(64, 64)

    def prefixes(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        made, keys, products = [], torch.zeros(1, 8, 1, 64), torch.zeros(1, 8, 1, 64, 64)
        for a, b, c in zip(*(x.split(128, 2) for x in (q, k, v)), strict=True):
            sums = keys + b.cumsum(2)
            held = products + torch.einsum("...nd,...ne->...nde", b, c).cumsum(2)
            made.append(torch.einsum("...nd,...nde->...ne", a, held) / (a * sums).sum(-1, keepdim=True))
            keys, products = sums[:, :, -1:], held[:, :, -1:]
        return torch.cat(made, 2)

    def phi(x: torch.Tensor) -> torch.Tensor:
        x = x * 64**-0.25
        return torch.exp(x @ features.mT - x.square().sum(-1, keepdim=True) / 2)

    cases: dict[str, tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor]]] = {
        "causal linear attention": (
            partial(linear_attention, causal=True), lambda q, k, v: prefixes(F.elu(q) + 1, F.elu(k) + 1, v),
        ),
        "causal Performer, 64 features": (
            partial(performer_attention, features=features, causal=True), lambda q, k, v: prefixes(phi(q), phi(k), v),
        ),
    }  # fmt: skip
    for said, calls in cases.items():
        works = [partial(training, call, grad, *qkv) for call in calls]
        report(f"fp32 {said} n={n} forward+backward", works, ["in chunks", "prefix sums of chunks"])


def biased(n: int, report: Callable[..., None]) -> None:
    grad, *qkv = operands(n, 64, torch.float32)
    given = {"mask": window(256), "bias": (SoftCap(30.0), Sinks(torch.zeros(8)))}
    works = [
        partial(training, partial(attention, impl=impl, **given), grad, *qkv)  # type: ignore[arg-type]
        for impl in ("compiled", "dense")
    ]
    report(f"fp32 soft cap, window 256, sinks n={n} forward+backward", works, ["compiled", "plain operations"])


def generation(name: str, report: Callable[..., None]) -> None:
    """Time a random decoder of 0.3B parameters in transformers: 1,024 tokens read, and 16 written one by one after them."""
    from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

    from attometer.integrations.transformers import register
    from attometer.integrations.transformers.attention_function import calls

    register()
    sizes = {
        "vocab_size": 8000, "hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 24,
        "num_attention_heads": 16, "num_key_value_heads": 4, "max_position_embeddings": 4096,
    }  # fmt: skip
    names = ["attometer", "sdpa"]
    models = []
    for impl in names:
        torch.manual_seed(0)
        config = LlamaConfig(**sizes)  # of each its own: at every call a model reads the implementation from it
        models.append(LlamaForCausalLM._from_config(config, attn_implementation=impl).to(TYPES[name]).eval())
    ids = torch.randint(0, 8000, (1, 1024))
    caches = [DynamicCache() for _ in models]

    def read(model: Any, cache: Any) -> None:
        with torch.no_grad():
            model(ids, past_key_values=cache, logits_to_keep=1)

    def write(model: Any, cache: Any) -> None:
        with torch.no_grad():
            for _ in range(16):
                model(ids[:, :1], past_key_values=cache)
        cache.crop(-16)

    said = f"{name} transformers, 0.3B random Llama"
    report(f"{said}, prefill of 1,024", [partial(read, model, None) for model in models], names)
    before = [calls()]
    for model, cache in zip(models, caches, strict=True):
        read(model, cache)
        before.append(calls())
    if before[1] == before[0] or before[2] != before[1]:
        raise SystemExit("transformers did not run the first model, or ran the second, with Attometer's function")
    report(f"{said}, 16 tokens after them", [partial(write, *x) for x in zip(models, caches, strict=True)], names)


def flex(n: int, report: Callable[..., None]) -> None:
    _, *qkv = operands(n, 64, torch.float32)
    mask = window(256)
    works = [partial(forward, call, *qkv) for call in (ours(mask), partial(attention, mask=mask, impl="flex"))]
    report(f"fp32 window 256 n={n} forward", works, ["compiled", "FlexAttention"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, one length, without FlexAttention")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    clock = time.process_time if given.threads == 1 else time.perf_counter
    print(f"{processor()[0]}, {given.threads} thread(s), torch {torch.__version__}; medians, peer / compiled")

    def report(
        said: str, works: list[Work], names: list[str], flops: float | None = None, product: float = 0.0
    ) -> None:
        found = medians(works, 3 if given.quick else 9, clock)
        ratios = ", ".join(f"{x / found[0]:.2f}x {name}" for x, name in zip(found[1:], names[1:], strict=False))
        rate = ""
        if flops is not None:
            made, best = flops / found[0], product / found[-1]
            rate = f"  {made / 1e9:.0f} GFLOP/s, {made / best:.0%} of torch.mm"
        print(f"{said:48} {found[0] * 1e3:8.2f} ms  {ratios}{rate}", flush=True)

    for name in TYPES:
        for n in (1024,) if given.quick else (1024, 2048, 4096):
            for d in (64,) if given.quick else (64, 128):
                for mask in (None, causal()):
                    exact(name, n, d, mask, report)
        windows(name, 8192, report)
        decode(name, report)
    sparse(2048 if given.quick else 4096, report)
    published(2048 if given.quick else 4096, report)
    recurrent(2048 if given.quick else 4096, report)
    biased(2048 if given.quick else 4096, report)
    generation("bf16" if has_bf16() else "fp32", report)
    if not given.quick:
        flex(8192, report)


if __name__ == "__main__":
    main()
