"""Names of machines as people, datasheets and drivers write them."""

import re
from collections.abc import Iterable, Mapping

# Words that a name may carry without saying which part it is.
_NOISE = frozenset(
    """
    nvidia amd intel apple google aws geforce tesla instinct radeon quadro gpu gpus graphics generation edition server
    workstation card device accelerator macbook hbm hbm2 hbm2e hbm3 hbm3e gddr6 gddr6x gddr7 the tensor core with chip
    """.split()  # noqa: SIM905 - forty words read better in lines than in quotes
)
_FORMS = {"sxm2": "sxm", "sxm3": "sxm", "sxm4": "sxm", "sxm5": "sxm", "pci": "pcie"}


def words(name: str) -> frozenset[str]:
    """Return the words of a name that say which part it is, as `nvidia-smi`, a shop or a person writes it.

    >>> sorted(words("NVIDIA A100-SXM4-80GB")), sorted(words("GeForce RTX 4090"))
    (['80gb', 'a100', 'sxm'], ['4090'])
    """
    text = re.sub(r"\((?:r|tm)\)", " ", name.lower())
    text = re.sub(r"\bmac(?:book)?[ -]?(?:pro|air|mini|studio)\b", " ", text)
    text = re.sub(r"(\d+)\s*(?:gib|gb|g)\b", r"\1gb", text)
    text = re.sub(r"\brtx(?=\d)", "rtx ", text)
    parts = [_FORMS.get(part, part) for part in re.split(r"[\s,_()/-]+", text) if part]
    kept = [part for part in parts if part not in _NOISE]
    # "rtx" alone says little beside a number, and people leave it out.
    return frozenset(part for part in kept if part != "rtx") or frozenset(kept)


def plain(name: str) -> str:
    """Return a name without its maker's and series' words, as people type it.

    >>> plain("apple-m4-max"), plain("rtx-4090")
    ('m4-max', '4090')
    """
    parts = name.split("-")
    return "-".join(part for part in parts if part not in _NOISE and part != "rtx") or name


def sized(name: str) -> tuple[str, int] | None:
    """Return a name without the size of memory that it ends with or holds, and that size in GB; None where it holds none.

    >>> sized("RTX 3090 24GB"), sized("MacBook Pro M3 Max (64 GB)"), sized("RTX 3090")
    (('RTX 3090', 24), ('MacBook Pro M3 Max', 64), None)
    """
    found = re.search(r"[\s_-]*\(?\b(\d+)[\s-]?(?:gib|gb|g)\b\)?", name, re.IGNORECASE)
    rest = "" if found is None else f"{name[: found.start()]} {name[found.end() :]}".strip(" -_")
    return (rest, int(found[1])) if found is not None and rest else None


def matching(name: str, names: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the ids whose words, or an alias's words, are those of `name`; else those that hold all of them.

    `names` maps an id to its aliases and printed name. The list is empty when no part is meant, and longer than one when
    the words fit several.

    >>> matching("NVIDIA H100 80GB HBM3", {"h100-sxm": ["h100-80gb", "H100 SXM5 80GB"], "h100-pcie": ["h100-pcie-80gb"]})
    ['h100-sxm']
    """
    wanted = words(name)
    together = "".join(re.split(r"[\s_-]+", name.lower()))
    same = [i for i, more in names.items() if together in {n.lower().replace("-", "") for n in (i, *more)}]
    if same:
        return same
    spelled = {identity: [words(n) for n in (identity, *more)] for identity, more in names.items()}
    equal = [identity for identity, sets in spelled.items() if wanted in sets]
    if equal or not any(len(word) > 2 and any(c.isdigit() for c in word) for word in wanted):
        return equal
    return [identity for identity, sets in spelled.items() if any(wanted <= own for own in sets)]
