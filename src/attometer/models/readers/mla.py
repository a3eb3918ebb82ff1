"""Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): keys and values are kept as one latent per token."""

from dataclasses import dataclass

from attometer.mechanisms import latent
from attometer.models.blocks import Heads, linear, norm, rotary
from attometer.models.layer import CacheSize
from attometer.models.part import Part, parts
from attometer.models.reading import Reading
from attometer.program import size


@dataclass(frozen=True)
class Latent:
    """Sizes of MLA: heads, query rank (or None), latent rank, and the head dimensions without and with rotation, and of V."""

    num_heads: int
    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes by the symbols of `mechanisms.latent`."""
        return {
            "h": self.num_heads,
            "c": self.kv_lora_rank,
            "d": self.qk_nope_head_dim,
            "r": self.qk_rope_head_dim,
            "e": self.v_head_dim,
        }

    @property
    def cache(self) -> CacheSize:
        """One latent and one rotated key per token, shared by all heads."""
        latent = self.kv_lora_rank, self.qk_rope_head_dim
        return CacheSize(sum(latent) * size("m"), latent=latent)


# DeepseekV3Config's values for missing keys; DeepseekV32Config has the same.
V3 = Latent(128, 1536, 512, 128, 64, 128)


def latent_of(c: Reading, default: Latent = V3) -> Latent:
    """Read the sizes of MLA; `default` holds the values of transformers' class for missing keys."""
    return Latent(
        c.integer("num_attention_heads", default=default.num_heads),
        c.optional("q_lora_rank", default=default.q_lora_rank),
        c.integer("kv_lora_rank", default=default.kv_lora_rank),
        c.integer("qk_nope_head_dim", default=default.qk_nope_head_dim),
        c.integer("qk_rope_head_dim", default=default.qk_rope_head_dim),
        c.integer("v_head_dim", default=default.v_head_dim),
    )


def expanded(
    width: int, a: Latent, bias: bool, where: str = "causal(i, j)", between: tuple[Part, ...] = (), turned: bool = True
) -> tuple[Part, ...]:
    """Return MLA as it is trained and prefilled: every cached latent is expanded into keys and values."""
    expand, core = parts(latent.AXES, latent.expanded(where), **a.sizes)
    return *_before(width, a, bias, turned), expand, *between, core, _out(width, a, bias)


def absorbed(
    width: int, a: Latent, bias: bool, where: str = "causal(i, j)", between: tuple[Part, ...] = (), turned: bool = True
) -> tuple[Part, ...]:
    """Return MLA as engines decode: the expansion is absorbed into queries and outputs, and heads share the latent."""
    absorb, core, out = parts(latent.AXES, latent.absorbed(where), **a.sizes)
    return *_before(width, a, bias, turned), absorb, *between, core, out, _out(width, a, bias)


def _before(width: int, a: Latent, bias: bool, turned: bool) -> tuple[Part, ...]:
    turn = rotary(Heads(a.num_heads, 1, a.qk_rope_head_dim, a.v_head_dim)) if turned else ()
    return *_queries(width, a, bias), *_latent(width, a, bias), *turn


def _queries(width: int, a: Latent, bias: bool) -> tuple[Part, ...]:
    out = a.num_heads * (a.qk_nope_head_dim + a.qk_rope_head_dim)
    if a.q_lora_rank is None:
        return (linear("q", width, out),)
    return (
        linear("q down", width, a.q_lora_rank, bias),
        norm(a.q_lora_rank, name="norm q"),
        linear("q up", a.q_lora_rank, out),
    )


def _latent(width: int, a: Latent, bias: bool) -> tuple[Part, Part]:
    return linear("kv down", width, a.kv_lora_rank + a.qk_rope_head_dim, bias), norm(a.kv_lora_rank, name="norm kv")


def _out(width: int, a: Latent, bias: bool) -> Part:
    return linear("out", a.num_heads * a.v_head_dim, width, bias)
