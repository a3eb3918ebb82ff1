"""GGUF's mixes of types: which tensor `q4_k_m` and its like store in which block format, by layer."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from attometer.errors import AttometerError
from attometer.formats.modules import is_linear, module_path
from attometer.formats.storage import FORMATS, Storage


@dataclass(frozen=True)
class Place:
    """Where a tensor stands: its module, layer `index` of `layers`, query heads per key/value head, routed experts."""

    path: str
    index: int
    layers: int
    group: int = 1
    experts: int = 0

    @property
    def more_bits(self) -> bool:
        """The first and last eighth of the layers and every third between get more bits (llama.cpp `use_more_bits`)."""
        eighth = self.layers // 8
        return self.index < eighth or self.index >= 7 * self.layers // 8 or (self.index - eighth) % 3 == 2

    @property
    def early(self) -> bool:
        """The first eighth of the layers."""
        return self.index < self.layers // 8


Choice = Callable[[Place], str]


def _always(name: str) -> Choice:
    return lambda place: name


def _by(base: str, v: Choice | None = None, down: Choice | None = None, out: Choice | None = None) -> Choice:
    """`base` everywhere but in attention's values and output and the feed-forward's second matrix."""
    own = {"v_proj": v, "down_proj": down, "o_proj": out}

    def choose(place: Place) -> str:
        special = own.get(place.path.rpartition(".")[2])
        # A mixture of eight experts shares its small value projection: llama.cpp keeps it at 8 bits.
        if place.path.endswith("v_proj") and place.experts >= 8 and base.endswith("_k"):
            return "q8_0"
        return base if special is None else special(place)

    return choose


def _more(high: str, low: str) -> Choice:
    return lambda place: high if place.more_bits else low


def _first(high: str, low: str, count: int | None = None) -> Choice:
    return lambda place: high if (place.early if count is None else place.index < count) else low


def _wide(high: str, low: str) -> Choice:
    return lambda place: high if place.group >= 4 else low


def _experts(name: str, rest: str) -> Choice:
    return lambda place: name if place.path.startswith("mlp.experts") else rest


MIXES: dict[str, tuple[Choice, str]] = {
    "f16": (_by("fp16"), "fp16"),
    "q2_k": (_by("q2_k", _wide("q4_k", "q3_k"), _always("q3_k"), _always("q3_k")), "q6_k"),
    "q3_k_s": (_by("q3_k"), "q6_k"),
    "q3_k_m": (_by("q3_k", _first("q5_k", "q4_k", 2), _more("q4_k", "q3_k"), _always("q4_k")), "q6_k"),
    "q3_k_l": (_by("q3_k", _always("q5_k"), _always("q5_k"), _always("q5_k")), "q6_k"),
    "q4_0": (_by("q4_0"), "q6_k"),
    "q4_1": (_by("q4_1"), "q6_k"),
    "q4_k_s": (_by("q4_k", _first("q5_k", "q4_k", 4), _first("q5_k", "q4_k")), "q6_k"),
    "q4_k_m": (_by("q4_k", _more("q6_k", "q4_k"), _more("q6_k", "q4_k")), "q6_k"),
    "q5_0": (_by("q5_0"), "q6_k"),
    "q5_1": (_by("q5_1"), "q6_k"),
    "q5_k_s": (_by("q5_k"), "q6_k"),
    "q5_k_m": (_by("q5_k", _more("q6_k", "q5_k"), _more("q6_k", "q5_k")), "q6_k"),
    "q6_k": (_by("q6_k"), "q6_k"),
    "q8_0": (_by("q8_0"), "q8_0"),
    "iq2_xxs": (_by("iq2_xxs", _wide("q4_k", "q2_k"), _first("q3_k", "q2_k"), _always("iq2_xxs")), "q5_k"),
    "iq2_xs": (_by("iq2_xs", _wide("q4_k", "q2_k"), _first("q3_k", "q2_k"), _always("iq2_xs")), "q5_k"),
    "iq2_s": (_by("iq2_xs", _wide("q4_k", "iq3_s"), _first("iq3_s", "iq2_xs")), "q5_k"),
    "iq2_m": (_by("iq2_s", _wide("q4_k", "iq3_s"), _first("iq3_s", "iq2_s"), _always("iq3_s")), "q5_k"),
    "iq3_xxs": (_by("iq3_xxs", _wide("q4_k", "iq3_s"), _first("q4_k", "q3_k"), _always("iq3_s")), "q5_k"),
    "iq3_s": (_by("iq3_s", _wide("q4_k", "iq3_s")), "q6_k"),
    "iq3_m": (_by("iq3_s", _always("q4_k"), _first("q4_k", "iq3_s"), _always("q4_k")), "q6_k"),
    "iq4_nl": (_by("iq4_nl", _wide("q5_k", "iq4_nl"), _first("q5_k", "iq4_nl")), "q6_k"),
    "iq4_xs": (_by("iq4_xs", _wide("q5_k", "iq4_xs"), _first("q5_k", "iq4_xs")), "q6_k"),
    "mxfp4_moe": (_experts("mxfp4", "q8_0"), "q8_0"),
}
"""File types of llama.cpp: the choice for each tensor of a layer, and the type of the output matrix."""


NARROW = {"q4_k": "q5_0", "q5_k": "q5_1", "q6_k": "q8_0"}
"""What stands for a type in blocks of 256 where rows are no multiple of them; other such types become iq4_nl."""
_BLOCKS_OF_32 = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "iq4_nl", "mxfp4", "fp16", "fp32", "bf16")


def mix(
    name: str, layers: int, group: int = 1, experts: int = 0, tied: bool = False, narrow: frozenset[str] = frozenset()
) -> "Mix":
    """Return the formats of a GGUF file type for a model of `layers` layers.

    Args:
        name: `q4_k_m`, `q6_k`, `q8_0`, `iq4_xs`, …
        layers: number of layers.
        group: query heads per key/value head.
        experts: routed experts, 0 for a dense model.
        tied: whether the output matrix is the embedding.
        narrow: modules whose rows are no multiple of 256.

    Raises AttometerError for a file type that is not known.

    Source: `llama_tensor_get_type` of llama.cpp (src/llama-quant.cpp).

    >>> chosen = mix("q4_k_m", layers=32)
    >>> [chosen.of(i, "full", "down").name for i in (0, 4, 5)], chosen.of(None, "head", "head").name
    (['q6_k', 'q4_k', 'q4_k'], 'q6_k')
    """
    short = name.strip().lower().replace("-", "_")
    if short not in MIXES:
        raise AttometerError(f'unknown GGUF type "{name}"; known: {", ".join(MIXES)}')
    return Mix(short, layers, group, experts, tied, narrow)


@dataclass(frozen=True)
class Mix:
    """The formats of one GGUF file type, asked for as `WeightFormats` is."""

    name: str
    layers: int
    group: int
    experts: int
    tied: bool
    narrow: frozenset[str] = frozenset()

    by_layer = True

    @property
    def default(self) -> Storage:
        """Norms, biases and routers are stored as fp32."""
        return FORMATS["fp32"]

    def of(self, layer: int | None, kind: str, part: str) -> Storage:
        """Return the format of the matrices of `part` in layer number `layer` (None: outside the layers) of `kind`."""
        choose, output = MIXES[self.name]
        path = module_path(kind, part)
        if path == "lm_head" or (path == "embed_tokens" and self.tied):
            return self._held(output, path)
        if path == "embed_tokens":
            return self._held(choose(Place(path, self.layers // 2, self.layers)), path)
        if layer is None or not is_linear(path):
            return self.default
        return self._held(choose(Place(path, layer, self.layers, self.group, self.experts)), path)

    def _held(self, name: str, path: str) -> Storage:
        """Return the format that holds a module's rows where `name` is chosen for it."""
        fits = path not in self.narrow or name in _BLOCKS_OF_32
        return FORMATS[name if fits else NARROW.get(name, "iq4_nl")]


_TENSORS = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_a_proj": "attn_q_a", "self_attn.q_b_proj": "attn_q_b", "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "self_attn.kv_b_proj": "attn_kv_b", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp", "mlp.experts.gate_up_proj": "ffn_up_exps", "mlp.experts.gate_proj": "ffn_gate_exps",
    "mlp.experts.down_proj": "ffn_down_exps", "mlp.shared_experts.gate_proj": "ffn_gate_shexp",
    "mlp.shared_experts.up_proj": "ffn_up_shexp", "mlp.shared_experts.down_proj": "ffn_down_shexp",
}  # fmt: skip
_OTHERWISE = {
    "attn_kv_b": "attn_k_b",
    "attn_q": "attn_qkv",
    "attn_k": "attn_qkv",
    "attn_v": "attn_qkv",
    "ffn_gate": "ffn_up",
}
"""Names of llama.cpp's tensors by module (src/llama-arch.cpp), and under which tensor others are kept where they are joined."""


@dataclass(frozen=True)
class FileFormats:
    """The formats of the tensors in one GGUF file, by name; asked for as `WeightFormats` is."""

    name: str
    types: tuple[tuple[str, str], ...]

    by_layer = True

    @cached_property
    def _known(self) -> dict[str, str]:
        return dict(self.types)

    @property
    def default(self) -> Storage:
        """Norms, biases and routers are stored as fp32."""
        return FORMATS["fp32"]

    def of(self, layer: int | None, kind: str, part: str) -> Storage:
        """Return the format of the matrices of `part` in layer number `layer` (None: outside the layers) of `kind`."""
        path = module_path(kind, part)
        if layer is None:
            names = {"embed_tokens": ("token_embd",), "lm_head": ("output", "token_embd")}.get(path, ())
        else:
            short = _TENSORS.get(path, "")
            names = tuple(f"blk.{layer}.{name}" for name in (short, _OTHERWISE.get(short, short)))
        found = next((self._known[f"{n}.weight"] for n in names if f"{n}.weight" in self._known), None)
        return self.default if found is None else FORMATS[found]
