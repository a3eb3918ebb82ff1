"""Write docs/models.md: the families that are read and the models that are shipped, counted by the code itself."""

from pathlib import Path

from attometer.count.model_cost import active_parameters, cache, flops, parameters
from attometer.models import model, shipped
from attometer.models.readers.families import AROUND, TEXT
from attometer.view.files import write_atomically

HERE = Path(__file__).parent
HEAD = """# Models

`attometer.model(path_or_name)` reads a Hugging Face `config.json` (a file, the folder that holds one, or the name of a
shipped one) into layers by layer type. Each layer is a list of parts, each part is a Program, and every cost is counted
from those Programs. What cannot be read exactly is refused with the file and the key; `model.check` (and
`attometer plan config.json --check`) lists every key: modelled, defaulted to transformers' own value, known to cost
nothing, or not modelled.

## What "exactly" means

For every family that transformers builds, a small configuration is tested in the default suite: the parameters equal
`sum(p.numel())`, and the FLOPs (all logits, causal counted full, `form="reference"`) equal `FlopCounterMode`'s with eager
attention and eager experts. The shipped models are tested the same way at full size on the meta device (`-m slow`), mixtures with
batched experts, which run the same products. Families without a class in transformers are
checked by the layers that they share and by the published totals of their checkpoints, some of them rounded.

`form="program"` (the default) counts the mathematics; `form="reference"` counts what transformers executes for it. They differ
where transformers pads to chunks (Mamba 2, delta nets, Longformer, BigBird), convolves past the end, runs every expert on
every token (Llama 4), or attends to everything and masks afterwards (DeepSeek V4).

- Of a multimodal file the text model is read; the note says which tower is left out.
- Multi-token prediction layers are left out, as transformers leaves them out; the note says so.
- Router biases that transformers keeps as buffers are not parameters (DeepSeek-V3: 14,848 of them).
- T5's head is tied whatever the file says, as in transformers 5.
- DeepSeek V4: compressed keys are counted for every query; their causal half is not subtracted.
- One step of latent attention (`phase="decode"`) is counted in the absorbed form; prefill in the expanded one.

## 104 real configurations

Of 104 configurations collected from public repositories (84 % verbatim from Hugging Face, the rest presets with the same
keys), **101 are read exactly and 3 are refused**. 99 of the 101 equal transformers in parameters and in FLOPs at 128
tokens: 13 of them are the text models of multimodal files, 12 have a `model_type` that transformers does not have and are
compared with the class whose layers they share. Two have no class in transformers; their
totals agree with the published, rounded ones (DeepSeek-MoE-16B, Orion-14B). Refused:

| configuration | key | why |
|---|---|---|
| moonshotai/Kimi-K3 | `$.text_config.attn_res_block_size` | a layer that no reference implementation at hand describes |
| stepfun-ai/Step-3.7-Flash, and its FP8 form | `$.text_config` | a flat file without the heads of its sliding layers |
"""


def families() -> str:
    """Return the table of families."""
    rows = ["| `model_type` | what is read |", "|---|---|"]
    for name, reader in sorted(TEXT.items()):
        rows.append(f"| `{name}` | {' '.join((reader.__doc__ or '').strip().split(chr(10) + chr(10))[0].split())} |")
    wrapping = ", ".join(f"`{outer}` ({inner})" for outer, inner in sorted(AROUND.items()))
    return "\n".join(rows) + f"\n\nMultimodal families, read as the text model that they hold: {wrapping}."


def models() -> str:
    """Return the table of shipped models."""
    rows = [
        "| name | layers | parameters | active | KV and state at 1,024 tokens | at 131,072 | forward, 2,048 tokens |"
    ]
    rows.append("|---|---|---:|---:|---:|---:|---:|")
    for name in shipped():
        read = model(name)
        kinds = " + ".join(f"{count} {kind}" for kind, count in read.kinds().items())
        kept, work = cache(read), flops(read, n=2048) / 1e12
        sizes = f"{parameters(read):,} | {active_parameters(read):,} | {kept.at(1024):,} | {kept.at(131_072):,}"
        rows.append(f"| `{name}` | {kinds} | {sizes} | {work:,.2f} TFLOP |")
    return "\n".join(rows)


if __name__ == "__main__":
    shown = f"## Shipped models\n\nExact causal counts, all logits; KV and state in elements of one sequence.\n\n{models()}\n"
    text = f"{HEAD}\n## Families\n\n{families()}\n\n{shown}"
    write_atomically(HERE / "models.md", text)
