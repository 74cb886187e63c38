from typing import Literal, SupportsFloat, SupportsIndex

import numpy as np
from jaxtyping import Float, Num

from qkvdocs.core._checks import broadcasts, check_axes, check_shape, finite, float_array, size
from qkvdocs.errors import DTypeError, ShapeError


def rotate(
    x: Num[np.ndarray, "*heads seq d_head"] | np.ndarray,
    positions: Num[np.ndarray, "..."] | np.ndarray | None = None,
    *,
    offset: SupportsFloat = 0,
    style: Literal["halves", "pairs"] = "halves",
    width: SupportsIndex | None = None,
    base: SupportsFloat = 10000.0,
    scaling: SupportsFloat = 1.0,
    frequencies: Num[np.ndarray, " planes"] | np.ndarray | None = None,
) -> Float[np.ndarray, "*heads seq d_head"]:
    """Turn queries or keys by their positions, so that a score depends on how far apart two tokens stand.

    Two entries at a time are the coordinates of a point in a plane, and plane `i` turns by
    `(position + offset) / scaling * base ** (-2i / width)`. Lengths stay as they are. With a cache, `offset`
    is its length. Some kinds of scaling (YaRN, LongRoPE) also multiply the turned entries by a factor; that
    is left to the caller.

    Args:
        x: Queries or keys, shape `(seq, d_head)` or `(*batch, n_heads, seq, d_head)`.
        positions: Shape `(seq,)`, or that of `x` without its last axis, each axis but the last possibly 1;
            None counts 0, 1, 2, …
        offset: Added to every position.
        style: Which entries share a plane: `halves` takes `i` and `i + width / 2`, as GPT-NeoX and Hugging
            Face do; `pairs` takes the neighbours `2i` and `2i + 1`, as the paper, Meta and GPT-J do.
        width: How many entries of each row turn, from the first on; None means all.
        base: How fast the frequencies fall; `rope_theta` in a config.
        scaling: What positions are divided by; `factor` of linear scaling in a config.
        frequencies: Turn of each plane for a position, shape `(width / 2,)`, in place of the powers of
            `base`; `inv_freq` elsewhere.

    Returns:
        The turned rows, in the shape of `x`: computed in float64 and rounded once, to float32 for float16 and
        to the dtype of `x` for other floats.

    Raises:
        ShapeError: If an array does not fit, or `width` is odd or wider than `d_head`.
        DTypeError: If an array is not a plain one of real numbers, `style` another word, `base` or `scaling`
            not above 0, or an angle not a finite number.

    Source:
        [Su et al. 2021, "RoFormer"](https://arxiv.org/abs/2104.09864), section 3.4.2, equation 34;
        [Chen et al. 2023](https://arxiv.org/abs/2306.15595), "Extending Context Window of Large Language
        Models via Positional Interpolation", equation 4, for `scaling`.

    Examples:
        >>> rotate(np.array([[1, 0], [1, 0]])).round(4).tolist()
        [[1.0, 0.0], [0.5403, 0.8415]]
    """
    x = float_array("x", x)
    check_axes("x", x, "(*batch, n_heads, seq, d_head)", 2)
    *rows, d_head = x.shape
    if not isinstance(style, str) or style not in ("halves", "pairs"):
        raise DTypeError(f"style must be 'halves' or 'pairs', got {style!r}")
    if width is None and d_head % 2:
        raise ShapeError(f"d_head must be even where width is None, got {d_head}. Say how wide a part turns")
    width = d_head if width is None else size("width", width, 0)
    if width % 2 or width > d_head:
        raise ShapeError(f"width must be even and at most d_head = {d_head}, got {width}")
    places = np.arange(rows[-1]) if positions is None else float_array("positions", positions)
    if not broadcasts(places.shape, tuple(rows[-1:] if places.ndim == 1 else rows)):
        raise ShapeError(
            f"positions must have shape (seq,) = ({rows[-1]},) or that of x without d_head = {tuple(rows)}, "
            f"each axis but the last possibly 1, got {places.shape}"
        )
    shift, by, root = finite("offset", offset), positive("scaling", scaling), positive("base", base)
    with np.errstate(all="ignore"):  # what is not finite is refused below
        falling = root ** (-np.arange(0, width, 2) / width)
        turns = falling if frequencies is None else float_array("frequencies", frequencies)
        check_shape("frequencies", turns, "(width / 2,)", (width // 2,))
        angles = ((places.astype(np.float64) + shift) / by)[..., None] * turns
    if not np.isfinite(angles).all():
        raise DTypeError(
            "(positions + offset) / scaling * frequencies must be finite numbers, got NaN or inf"
        )
    cos, sin = np.cos(angles), np.sin(angles)
    half = width // 2
    pairs = slice(0, width, 2), slice(1, width, 2)
    first, second = pairs if style == "pairs" else (slice(half), slice(half, width))
    a, b = x[..., first], x[..., second]
    turned = x.copy()
    turned[..., first], turned[..., second] = a * cos - b * sin, a * sin + b * cos
    return turned


def positive(name: str, value: SupportsFloat) -> float:
    """Refuse all but finite numbers above 0."""
    if (number := finite(name, value)) <= 0:
        raise DTypeError(f"{name} must be above 0, got {value!r}")
    return number
