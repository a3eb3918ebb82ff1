"""Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): keys and values are kept as one latent per token."""

from dataclasses import dataclass

from attometer.models.blocks import Heads, attention, linear, norm, rotary
from attometer.models.layer import Cache
from attometer.models.part import Part, program
from attometer.models.reading import Reading
from attometer.program import size


@dataclass(frozen=True)
class Latent:
    """Sizes of MLA: heads, query rank (or None), latent rank, and the head dimensions without and with rotation, and of V."""

    heads: int
    query_rank: int | None
    rank: int
    plain: int
    rotated: int
    values: int

    @property
    def expanded(self) -> Heads:
        """The heads after the latent is expanded."""
        return Heads(self.heads, self.heads, self.plain + self.rotated, self.values)

    @property
    def cache(self) -> Cache:
        """One latent and one rotated key per token, shared by all heads."""
        return Cache((self.rank + self.rotated) * size("m"))


def latent_of(c: Reading, query_rank: int | None = 1536) -> Latent:
    """Read the sizes of MLA; `query_rank` is transformers' value for a missing `q_lora_rank`."""
    return Latent(
        c.integer("num_attention_heads", default=128),
        c.optional("q_lora_rank", default=query_rank),
        c.integer("kv_lora_rank", default=512),
        c.integer("qk_nope_head_dim", default=128),
        c.integer("qk_rope_head_dim", default=64),
        c.integer("v_head_dim", default=128),
    )


def expanded(
    width: int, a: Latent, bias: bool, where: str = "causal(i, j)", between: tuple[Part, ...] = (), turned: bool = True
) -> tuple[Part, ...]:
    """Return MLA as it is trained and prefilled: every cached latent is expanded into keys and values."""
    turn = rotary(a.expanded, a.rotated) if turned else ()
    expand = linear("kv expand", a.rank, a.heads * (a.plain + a.values), rows="m")
    core = attention(a.expanded, where)
    return *_queries(width, a, bias), *_latent(width, a, bias), *turn, expand, *between, core, _out(width, a, bias)


def absorbed(
    width: int, a: Latent, bias: bool, where: str = "causal(i, j)", between: tuple[Part, ...] = (), turned: bool = True
) -> tuple[Part, ...]:
    """Return MLA as engines decode: the expansion is absorbed into queries and outputs, and heads share the latent."""
    turn = rotary(a.expanded, a.rotated) if turned else ()
    core = Part("attention", program(_absorbed(a, where)))
    return *_queries(width, a, bias), *_latent(width, a, bias), *turn, *between, core, _out(width, a, bias)


def _queries(width: int, a: Latent, bias: bool) -> tuple[Part, ...]:
    out = a.heads * (a.plain + a.rotated)
    if a.query_rank is None:
        return (linear("q", width, out),)
    return (
        linear("q down", width, a.query_rank, bias),
        norm(a.query_rank, name="norm q"),
        linear("q up", a.query_rank, out),
    )


def _latent(width: int, a: Latent, bias: bool) -> tuple[Part, Part]:
    return linear("kv down", width, a.rank + a.rotated, bias), norm(a.rank, name="norm kv")


def _out(width: int, a: Latent, bias: bool) -> Part:
    return linear("out", a.heads * a.values, width, bias)


def _absorbed(a: Latent, where: str) -> str:
    return "\n".join(
        (
            f"axis h: {a.heads}, i: n, j: m, d: {a.plain}, r: {a.rotated}, l: {a.rank}, e: {a.values}",
            "input Q[b,h,i,d], R[b,h,i,r]\ncache C[b,j,l], K[b,j,r]\nweight U[h,d,l], V[h,l,e]",
            "A[b,h,i,l] = Q[b,h,i,d] * U[h,d,l]",
            f"S[b,h,i,j] = A[b,h,i,l] * C[b,j,l] + R[b,h,i,r] * K[b,j,r]   where {where}",
            "P[b,h,i,j] = softmax[j](S)",
            "Z[b,h,i,l] = P[b,h,i,j] * C[b,j,l]",
            "O[b,h,i,e] = Z[b,h,i,l] * V[h,l,e]",
        )
    )
