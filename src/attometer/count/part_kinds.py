"""What kind of thing each part of a model is: a format of weights, a placement or a kernel class applies to a kind."""

from attometer.errors import AttometerError

KINDS: dict[str, tuple[str, ...]] = {
    "embedding": (
        "embedding", "source embedding", "per-layer embedding", "positions", "source positions", "segments", "tasks", "patches",
        "class tokens", "class token", "mask token", "masked", "registers", "probe", "newline", "relative positions", "features",
        "position conv", "position lengths",
    ),
    "head": ("head", "head bias", "head dense", "head act", "logit cap", "logit scale", "pooler", "labels", "contacts"),
    "attention": ("attention", "cross attention", "probe attention"),
    "index": ("index scores", "index pool", "index weights", "index q", "index k", "index compress"),
    "recurrence": ("scan", "delta rule", "wkv"),
    "projection": (
        "q", "k", "v", "o", "qkv", "kv", "out", "cross q", "cross k", "cross v", "cross out", "global q", "global k", "global v",
        "in", "x", "z", "dt", "compress", "forget down", "forget up", "beta", "key", "value", "receptance", "probe out", "projection",
        "projector", "position k", "position q", "downsample", "merger", "ssm out",
        "project in", "project out", "per-layer projection", "per-layer gate", "per-layer out",
    ),
    "gate": ("decay", "beta and decay", "gates", "ssm gate"),
    "convolution": ("conv",),
    "compressor": ("pool",),
    "rotary": ("rotary q", "rotary k"),
    "router": ("router",),
    "experts": ("experts",),
    "shared experts": ("shared",),
    "feed-forward": (
        "up", "gate", "gated", "down", "act", "probe up", "probe act", "probe down", "merger up", "merger act", "merger down",
        "merger gate", "deep merger", "projector up", "projector act", "projector down",
    ),
    "residual": ("residual", "scale", "time shift", "channel shift", "streams", "stream weights", "collapse streams"),
}  # fmt: skip
"""Names of parts, or how they begin, by kind; a name with the word `norm` is of kind `norm`."""

_BY_NAME = {name: kind for kind, names in KINDS.items() for name in names}


def part_kind(name: str) -> str:
    """Return the kind of a part by its name: its longest beginning that the table has.

    Raises AttometerError for a name that begins like none.

    >>> [part_kind(name) for name in ("q", "kv down", "experts up", "final norm", "index norm")]
    ['projection', 'projection', 'experts', 'norm', 'norm']
    """
    words = name.split()
    if "norm" in words:
        return "norm"
    for end in range(len(words), 0, -1):
        kind = _BY_NAME.get(" ".join(words[:end]))
        if kind is not None:
            return kind
    raise AttometerError(f'part "{name}" is of no known kind; the kinds are {", ".join(KINDS)} and norm')
