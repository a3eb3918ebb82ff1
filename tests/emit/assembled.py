"""Prints for each kernel of attention and of its gradients, as Triton assembles it for a GPU: name, bytes, matrix products."""

import sys

import pytest
from tests.emit.programs import SOFTMAX

from attometer.emit import triton_run
from attometer.emit.compiled import gradients_of
from attometer.emit.triton_source import Kernel, triton_of
from attometer.program import Program, parse

# Doctests are looked for in every file, this one too, and not every machine has Triton.
triton = pytest.importorskip("triton")
backends, compiler = pytest.importorskip("triton.backends.compiler"), pytest.importorskip("triton.compiler")


def types_of(kernel: Kernel, outside: dict[str, bool], short: str) -> dict[str, str]:
    """Return the type of each parameter: `outside` says which arrays are of the tensors' own type."""
    arrays, found = list(kernel.arrays), dict[str, str]()
    for name in (p.split(":")[0] for p in kernel.parameters()):
        if name[0] == "a" and "_" not in name:
            found[name] = short if outside[arrays[int(name[1:])]] else "*fp32"
        elif name[:2] == "W_":
            found[name] = "constexpr"
        else:
            found[name] = {"starts": "*i32", "ends": "*i32", "visits": "*i8"}.get(name.rsplit("_", 1)[-1], "i32")
    return found


def assemble(program: Program, dtype: str) -> None:
    held = triton_of(program, dtype)
    own = {t.name for t in (*program.inputs, *program.outputs)}
    outside = {name: tensor in own for name, tensor, _ in held.emitted.arrays}
    for kernel in held.kernels:
        types = types_of(kernel, outside, {"bfloat16": "*bf16", "float32": "*fp32"}[dtype])
        widths = {name: 32 for name in types if name[:2] == "W_"}
        function = triton_run.functions(held.emitted.text, False)[kernel.name]
        code = triton.compile(compiler.ASTSource(function, types, widths), target=backends.GPUTarget("cuda", 90, 32))
        print(kernel.name, len(code.asm["cubin"]), code.asm["ptx"].count("mma"))


if __name__ == "__main__":
    made = parse(SOFTMAX)
    assemble(made, sys.argv[1])
    assemble(parse(gradients_of(str(made), ("O",), ("Q", "K", "V")).backward), sys.argv[1])
