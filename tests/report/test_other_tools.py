"""What other tools printed when they were run, against the arithmetic that explains it."""

import pytest

from attometer.errors import AttometerError
from attometer.models import from_values, model
from attometer.report.other_tools import TOOLS, explain_tool

# Each tool at the version in TOOLS, run on Llama-3-8B (batch 1, bf16) and, where named, on GPT-2, Mixtral or Gemma 2:
# tool, model, tokens, quantity, value printed. The last digit printed is the tolerance, or 0.1 % for the tools that add
# elementwise operations which the explanation leaves out.
PRINTED = [
    ("flopcounter", "llama-3.1-8b", 2048, 0, 30.739e12, 0.0005e12),
    ("flopcounter", "llama-3.1-8b", 8192, 0, 122.956e12, 0.0005e12),
    ("flopcounter", "gpt2", 1024, 0, 253.0e9, 0.05e9),
    ("calflops", "llama-3.1-8b", 2048, 0, 30.740e12, 0.031e12),
    ("calflops", "llama-3.1-8b", 8192, 0, 122.960e12, 0.123e12),
    ("fvcore", "llama-3.1-8b", 2048, 0, 15.370e12, 0.0154e12),
    ("fvcore", "gpt2", 1024, 0, 126.60e9, 0.127e9),
    ("deepspeed", "llama-3.1-8b", 2048, 0, 32.939e12, 0.033e12),
    ("deepspeed", "llama-3.1-8b", 8192, 0, 158.144e12, 0.158e12),
    ("deepspeed", "gpt2", 1024, 0, 291.9e9, 0.292e9),
    ("llm-analysis", "llama-3.1-8b", 8192, 0, 158.141e12, 0.0005e12),
    ("llm-analysis", "llama-3.1-8b", 2048, 1, 15.010e9, 0.0005e9),
    ("llm-analysis", "llama-3.1-8b", 8192, 1, 15.010e9, 0.0005e9),
    ("llm-analysis", "llama-3.1-8b", 8192, 2, 7.505e9, 0.0005e9),
    ("llm-viewer", "llama-3.1-8b", 2048, 0, 30.813e12, 0.0005e12),
    ("llm-viewer", "llama-3.1-8b", 8192, 0, 149.90e12, 0.006e12),
    ("llm-viewer", "llama-3.1-8b", 8192, 1, 18.823e9, 0.0005e9),
    ("llm-viewer", "llama-3.1-8b", 8192, 2, 13.96e9, 0.005e9),
    ("llm-flops", "llama-3.1-8b", 2048, 0, 32.971e12, 0.0005e12),
    ("llm-flops", "llama-3.1-8b", 8192, 0, 158.53e12, 0.005e12),
    ("genz", "llama-3.1-8b", 2048, 0, 35.090e12, 0.0005e12),
    ("genz", "llama-3.1-8b", 8192, 0, 166.748e12, 0.0005e12),
    ("genz", "llama-3.1-8b", 8192, 1, 19.305e9, 0.001e9),
    ("hf-mem", "gemma-2-9b", 8192, 0, 2.82e9, 0.005e9),
    # gpu_poor's formulas by hand: 2 (2·128256·4096 + 32·4·4096² + 32·3·14336·4096), 8·8192·4096·32, and with
    # 10·8192·4096 + 2·32·8192² and 650 MiB more.
    ("gpu-poor", "llama-3.1-8b", 8192, 0, 17_670_602_752, 0),
    ("gpu-poor", "llama-3.1-8b", 8192, 1, 8_589_934_592, 0),
    ("gpu-poor", "llama-3.1-8b", 8192, 2, 31_572_623_360, 0),
    # accelerate's: 4 and 16 and 8 bytes of 8,030,261,248 parameters less the head's 128256·4096.
    ("accelerate", "llama-3.1-8b", 8192, 0, 15_009_849_344, 0),
    ("accelerate", "llama-3.1-8b", 8192, 1, 120_078_794_752, 0),
    ("accelerate", "llama-3.1-8b", 8192, 2, 60_039_397_376, 0),
]


@pytest.mark.parametrize(("tool", "name", "tokens", "figure", "printed", "last"), PRINTED)
def test_the_arithmetic_gives_what_the_tool_printed(tool, name, tokens, figure, printed, last):
    assert abs(explain_tool(tool, name, tokens).figures[figure].theirs - printed) <= last


def test_accelerate_leaves_the_head_out_of_all_that_training_keeps():
    # 8 of 16 bytes a parameter are shown, of the parameters without the head.
    found = explain_tool("accelerate", "llama-3.1-8b", 8192).figures[2]
    head, shown = 128256 * 4096, 8_030_261_248 - 128256 * 4096
    assert [change for _, change in found.steps] == [-16 * head, -8 * shown]


def test_hf_mem_takes_the_head_of_the_file():
    # transformers saves DeepSeek-V3 with head_dim 64, for which hf-mem printed 16.37 GB.
    values = dict(model("deepseek-v3").values) | {"head_dim": 64}
    assert explain_tool("hf-mem", from_values(values), 8192).figures[0].theirs == 16_374_562_816


def test_experts_of_mixtral_vanish():
    # FlopCounterMode on meta, where attention is seen, printed 8.238 T.
    figure = explain_tool("flopcounter", "mixtral-8x7b", 2048).figures[0]
    attention = next(change for why, change in figure.steps if why.startswith("scaled_dot"))
    assert abs(figure.theirs - attention - 8.238e12) < 0.001e12


@pytest.mark.parametrize("tool", TOOLS)
def test_every_table_ends_at_what_the_tool_prints(tool):
    for each in explain_tool(tool, "llama-3.1-8b", 4096).to_dict()["figures"]:
        assert each["ours"] + sum(step["change"] for step in each["steps"]) == each["theirs"]


@pytest.mark.parametrize(
    ("tool", "name", "said"),
    [
        ("calflop", "gpt2", 'unknown tool "calflop"; did you mean "calflops"?'),
        (
            "calflops",
            "gpt-oss-20b",
            "what calflops does with experts, router, sinks or biases of scores was not checked",
        ),
        ("llm-analysis", "llama-2-7b", "llm-analysis stops here"),
        ("hf-mem", "gpt2", 'the tool reads "num_attention_heads"'),
    ],
)
def test_what_was_not_checked_is_refused(tool, name, said):
    with pytest.raises(AttometerError, match=said.split("?")[0]):
        explain_tool(tool, name, 1024)
