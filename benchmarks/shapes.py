"""Opening a checkpoint of a hostile shape: time must grow with the size of header and config, and no faster.

    python benchmarks/shapes.py

Each shape is opened at a size and at four times that size, in this order several times; the ratio of the fastest
runs must stay below eight (four is linear, sixteen quadratic).
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.wild.test_header import SHAPES, open_shape  # noqa: E402

SIZE, TIMES, LIMIT = 25, 3, 8.0
LEAST = 0.02
"""Seconds below which nothing can be told from noise."""


def main() -> int:
    """Print a line a shape; fail where one grows too fast."""
    worst = 0.0
    print(f"{'shape':40}{'small':>12}{'large':>12}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name in SHAPES:
            runs = [[open_shape(name, SIZE * n, Path(folder)) for n in (1, 4)] for _ in range(TIMES)]
            small, large = (min(seconds for seconds, _ in column) for column in zip(*runs, strict=True))
            ratio = max(large, LEAST) / max(small, LEAST)
            sizes = [f"{seconds:.2f} s" for seconds in (small, large)]
            print(f"{name:40}{sizes[0]:>12}{sizes[1]:>12}{ratio:>8.1f}")
            worst = max(worst, ratio)
    print(f"fastest growth {worst:.1f}, limit {LIMIT:g}")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
