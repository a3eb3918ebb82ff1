"""From five lines of notation to a trained model: attention that is written in forgetting.att learns to look one token back.

    python examples/train_my_attention.py                      # beside the plain formula in eager torch
    python examples/train_my_attention.py --peer compile       # beside torch.compile of it
    python examples/train_my_attention.py --attention my.att   # another text with the same inputs Q, K, V and F

Each way trains the same model from the same numbers in a process of its own; the table shows the loss, the median time of a
step after the first, the time of the first (which compiles), and by how much training raised the process's memory.
"""

import argparse
import math
import multiprocessing
import resource
import statistics
import time
from pathlib import Path

try:
    import torch
except ModuleNotFoundError:
    raise SystemExit('this example needs torch; install it with: pip install "attometer[torch]"') from None
from torch import nn
from torch.nn import functional as F

import attometer as am

TEXT = Path(__file__).parent / "forgetting.att"


def plain(Q: torch.Tensor, K: torch.Tensor, V: torch.Tensor, G: torch.Tensor) -> torch.Tensor:
    """Forgetting attention as one writes it in torch: scores and weights of n × n stand in memory."""
    C = F.logsigmoid(G).cumsum(-1)
    S = Q @ K.mT / math.sqrt(Q.shape[-1]) + C[..., :, None] - C[..., None, :]
    hidden = torch.ones(S.shape[-2:], dtype=torch.bool).triu(1)
    return S.masked_fill(hidden, -math.inf).softmax(-1) @ V


class Layer(nn.Module):
    """A transformer layer around any attention of Q, K, V [b, h, n, d] and a gate [b, h, n]."""

    def __init__(self, attention, width: int, heads: int) -> None:
        super().__init__()
        self.attention, self.heads = attention, heads
        self.norms = nn.ModuleList([nn.RMSNorm(width), nn.RMSNorm(width)])
        self.qkv, self.gate = nn.Linear(width, 3 * width), nn.Linear(width, heads)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        nn.init.constant_(self.gate.bias, 4.0)  # little is forgotten at first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norms[0](x)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.qkv(y).chunk(3, -1))
        y = self.attention(q, k, v, self.gate(y).transpose(1, 2))
        x = x + self.out(y.transpose(1, 2).flatten(-2))
        return x + self.mlp(self.norms[1](x))


class Model(nn.Module):
    def __init__(self, attention, tokens: int, n: int, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(tokens, width), nn.Embedding(n, width)
        self.layers = nn.Sequential(*(Layer(attention, width, heads) for _ in range(layers)))
        self.head = nn.Linear(width, tokens)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(self.embed(x) + self.place.weight[: x.shape[1]]))


def batch(n: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random tokens, and at each place the one before: what only attention can bring there."""
    x = torch.randint(tokens, (1, n + 1))
    return x[:, 1:], x[:, :-1]


def train(way: str, options: argparse.Namespace, answer) -> None:
    """Train one model; send its losses, seconds per step and the memory that training added, in bytes."""
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    attention = {"attometer": lambda: am.compile(options.attention), "compile": lambda: torch.compile(plain)}.get(
        way, lambda: plain
    )()
    model = Model(attention, options.tokens, options.n, options.width, options.heads, options.layers)
    adam = torch.optim.AdamW(model.parameters(), lr=3e-3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    losses, seconds = [], []
    for _ in range(options.steps):
        x, wanted = batch(options.n, options.tokens)
        start = time.perf_counter()
        loss = F.cross_entropy(model(x).flatten(0, 1), wanted.flatten())
        adam.zero_grad()
        loss.backward()
        adam.step()
        seconds.append(time.perf_counter() - start)
        losses.append(loss.item())
    answer.put((losses, seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024))


def apart(way: str, options: argparse.Namespace) -> tuple[list[float], list[float], int]:
    """Train in a process of its own, whose memory is its own."""
    context = multiprocessing.get_context("spawn")
    answer = context.SimpleQueue()
    child = context.Process(target=train, args=(way, options, answer))
    child.start()
    child.join()
    if child.exitcode:
        raise SystemExit(child.exitcode)
    return answer.get()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attention", default=str(TEXT), help="a file of notation")
    parser.add_argument("--peer", choices=["eager", "compile"], default="eager")
    parser.add_argument("--show", action="store_true", help="print the nests that run")
    for name, value in {
        "steps": 60, "n": 1024, "width": 64, "heads": 4, "layers": 1, "tokens": 16, "threads": torch.get_num_threads(),
    }.items():  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    if options.show:
        print(am.compile(options.attention), end="\n\n")
    print(f"{'':>10} {'loss':>6} {'first':>6} {'last':>6} {'ms/step':>8} {'first step s':>13} {'memory MB':>10}")
    for way in ("attometer", options.peer):
        losses, seconds, memory = apart(way, options)
        print(
            f"{way:>10} {'':>6} {losses[0]:6.3f} {losses[-1]:6.3f} {statistics.median(seconds[1:]) * 1e3:8.1f} "
            f"{seconds[0]:13.1f} {memory / 1e6:10.0f}"
        )


if __name__ == "__main__":
    main()
