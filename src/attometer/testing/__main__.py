"""Judge an implementation from the command line: `python -m attometer.testing --impl tiled`."""

import argparse
import sys

from attometer.errors import AttometerError, extras


def main(arguments: list[str] | None = None) -> int:
    """Print the score table; return 0 if nothing failed, 1 if something did, 2 for bad input."""
    try:
        with extras("the referee needs"):
            from attometer.testing.peers import peer
            from attometer.testing.referee import CHECKS, check_attention
    except AttometerError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    parser = argparse.ArgumentParser(prog="python -m attometer.testing", description="Judge attention functions.")
    parser.add_argument("--impl", default="tiled", help="an implementation of attometer, torch_math, torch_flash, ...")
    parser.add_argument("--check", action="append", help=f"one of: {', '.join(CHECKS)}; may be repeated")
    parser.add_argument("--forward-only", action="store_true", help="leave the cases with gradients out")
    given = parser.parse_args(arguments)
    checks = tuple(given.check) if given.check else None
    try:
        report = check_attention(peer(given.impl), name=given.impl, checks=checks, gradients=not given.forward_only)
    except AttometerError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    print(report)
    return 1 if report.count("failed") else 0


if __name__ == "__main__":
    sys.exit(main())
