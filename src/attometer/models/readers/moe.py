"""Mixtures of experts: a router, `chosen` of `experts` feed-forward layers per token, perhaps shared experts."""

from dataclasses import replace

from attometer.models.blocks import ACTIVATIONS, linear
from attometer.models.part import Part, Routed, program


def router(width: int, routed: Routed, bias: bool = False) -> Part:
    """Return the scores of the experts and the choice of the best for each token."""
    weight, plus = ("weight W[x,c], B[x]", " + B[x]") if bias else ("weight W[x,c]", "")
    text = (
        f"axis i: n, c: {width}, x: {routed.experts}, r: {routed.chosen}\n{weight}\nL[b,i,x] = X[b,i,c] * W[x,c]{plus}"
    )
    return Part("router", program(f"{text}\nG[b,i,x] = softmax[x](L)\nZ[b,i,r] = topk[x, {routed.chosen}](G)"))


def experts(
    width: int, hidden: int, routed: Routed, function: str = "silu", gate: bool = True, bias: bool = False
) -> tuple[Part, ...]:
    """Return the routed experts: gate and up in one matrix, activation, down, and the weighted sum over the chosen."""
    up = 2 * hidden if gate else hidden
    return (
        _expert("experts up", "X[b,i,c]", width, up, routed, bias),
        _activation(hidden, routed, function, gate),
        _expert("experts down", "X[b,i,r,c]", hidden, width, routed, bias),
        _combine(width, routed),
    )


def _expert(name: str, reads: str, inputs: int, outputs: int, routed: Routed, bias: bool) -> Part:
    weight, plus = ("weight W[x,o,c], B[x,o]", " + B[Z[b,i,r], o]") if bias else ("weight W[x,o,c]", "")
    axes = f"axis i: n, c: {inputs}, o: {outputs}, x: {routed.experts}, r: {routed.chosen}"
    text = f"{axes}\ninput Z[b,i,r]\n{weight}\nY[b,i,r,o] = {reads} * W[Z[b,i,r], o, c]{plus}"
    return Part(name, program(text), routed=routed)


def _activation(hidden: int, routed: Routed, function: str, gate: bool) -> Part:
    body = ACTIVATIONS[function].replace("{x}", "G[b,i,r,f]") + " * U[b,i,r,f]" * gate
    return Part("experts act", program(f"axis i: n, r: {routed.chosen}, f: {hidden}\nY[b,i,r,f] = {body}"))


def _combine(width: int, routed: Routed) -> Part:
    text = f"axis i: n, r: {routed.chosen}, c: {width}\nM[b,i,r,c] = X[b,i,r,c] * G[b,i,r]\nY[b,i,c] = sum[r](M)"
    return Part("experts sum", program(text))


def dense_reference(parts: tuple[Part, ...], width: int, hidden: int, routed: Routed) -> tuple[Part, ...]:
    """Return the same parts, with the reference form in which every expert runs on every token (Llama 4 in transformers)."""
    sizes = {"experts up": (width, 2 * hidden), "experts down": (hidden, width)}

    def run(inputs: int, outputs: int) -> str:
        axes = f"axis i: n, c: {inputs}, o: {outputs}, x: {routed.experts}"
        return f"{axes}\nweight W[x,o,c]\nY[b,i,x,o] = X[b,i,x,c] * W[x,o,c]"

    return tuple(replace(p, reference=program(run(*sizes[p.name]))) if p.name in sizes else p for p in parts)


def shared_gate(width: int) -> Part:
    """Return the gate of a shared expert (Qwen2-MoE): one number per token."""
    return linear("shared gate", width, 1)
