"""Generate with a tiny random Llama, in eager attention and in attometer, side by side. Downloads nothing.

python examples/hf_generate.py
"""

from statistics import median
from time import perf_counter
from typing import Any

try:
    import torch
except ModuleNotFoundError:
    raise SystemExit('this example needs torch; install it with: pip install "attometer[torch]"') from None
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from attometer.integrations.transformers import attach, register, with_mechanism, without_mechanism

PROMPT, NEW, ROUNDS = 768, 16, 3


def tiny_llama() -> PreTrainedModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=8,
        num_key_value_heads=2,
        intermediate_size=256,
        max_position_embeddings=2048,
        initializer_range=0.1,
        bos_token_id=1,
        eos_token_id=None,
        pad_token_id=0,
    )
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


def prompts() -> dict[str, torch.Tensor]:
    """Two prompts, one a third as long as the other, padded on the left."""
    ids = torch.randint(3, 512, (2, PROMPT))
    mask = torch.ones_like(ids)
    mask[0, : PROMPT * 2 // 3] = 0
    return {"input_ids": ids * mask, "attention_mask": mask}


def timed(model: PreTrainedModel, implementation: str, given: dict[str, Any]) -> tuple[torch.Tensor, float]:
    model.set_attn_implementation(implementation)
    start = perf_counter()
    tokens = model.generate(**given, max_new_tokens=NEW, do_sample=False)
    return tokens[:, PROMPT:], perf_counter() - start


def main() -> None:
    register()
    model, given = attach(tiny_llama()), prompts()
    seconds: dict[str, list[float]] = {"eager": [], "attometer": []}
    tokens: dict[str, torch.Tensor] = {}
    for turn in range(ROUNDS + 1):
        for name in seconds:  # interleaved, so that both meet the same machine
            tokens[name], taken = timed(model, name, given)
            if turn:  # the first turn warms up
                seconds[name].append(taken)
    for name, found in tokens.items():
        print(f"{name:>10}: {found[0].tolist()}")
    if not torch.equal(tokens["eager"], tokens["attometer"]):
        raise SystemExit("the tokens differ")
    ratio = median(seconds["eager"]) / median(seconds["attometer"])
    print(f"identical tokens in {len(given['input_ids'])} sequences; time of eager / attometer: {ratio:.2f}")

    with torch.no_grad():
        plain = model(**given).logits[:, -1]
        narrowed = with_mechanism(model, "sliding_window", left=256)(**given).logits[:, -1]
        undone = without_mechanism(model)(**given).logits[:, -1]
    change = torch.linalg.vector_norm(narrowed - plain) / torch.linalg.vector_norm(plain)
    print(f"what if every layer saw 256 keys back: the next token's logits change by {change:.1%}")
    print(f"undone, they are the same again: {torch.equal(undone, plain)}")


if __name__ == "__main__":
    main()
