import copy
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from jaxtyping import Float, Num

from qkvdocs.core._checks import check_axes, check_shape, float_array
from qkvdocs.errors import DTypeError, ShapeError


class KVCache:
    """The keys and values of the positions so far, so that each step computes only its own.

    The first append settles batch shape, heads, widths and dtype. Room grows by doubling: n appends of one
    position copy fewer than 2 n older positions all together.

    What `K`, `V` and `append` give out are read-only views. A later append writes behind them, never into
    them.

    Source:
        Shazeer 2019, "Fast Transformer Decoding: One Write-Head is All You Need", section 2.4, where the
        keys and values of former positions are carried from step to step.

    Examples:
        >>> cache = KVCache()
        >>> for row in ([[1, 2]], [[3, 4]]):
        ...     K, V = cache.append(np.array(row), np.array(row))
        >>> len(cache), K.tolist()
        (2, [[1.0, 2.0], [3.0, 4.0]])
    """

    def __init__(self) -> None:
        self._length = 0
        self._K: np.ndarray | None = None
        self._V: np.ndarray | None = None

    def __len__(self) -> int:
        return self._length

    def __copy__(self) -> "KVCache":
        # Two caches on one buffer would write their next positions into the same place.
        return copy.deepcopy(self)

    @property
    def K(self) -> Float[np.ndarray, "*kv_heads n_keys d_head"]:
        """All keys, shape `(*batch, n_kv_heads, len(cache), d_head)`; an error before the first append."""
        return self._live(self._K)

    @property
    def V(self) -> Float[np.ndarray, "*kv_heads n_keys d_value"]:
        """All values, in the shape of `K` but for the last axis; an error before the first append."""
        return self._live(self._V)

    def append(
        self,
        K: Num[np.ndarray, "*kv_heads n_new d_head"] | np.ndarray,
        V: Num[np.ndarray, "*kv_heads n_new d_value"] | np.ndarray,
    ) -> tuple[Float[np.ndarray, "*kv_heads n_keys d_head"], Float[np.ndarray, "*kv_heads n_keys d_value"]]:
        """Add the keys and values of new positions behind the old ones.

        Args:
            K: New keys, shape `(n_new, d_head)` or `(*batch, n_kv_heads, n_new, d_head)`; copied.
            V: New values, in the shape of `K`; only the last axis may differ; copied.

        Returns:
            All keys and all values, the new ones last.

        Raises:
            ShapeError: If `V` does not go with `K`, or either with what the cache holds. The cache stays
                as it was.
            DTypeError: If an argument is not a plain array of real numbers, or of another dtype than the
                cache.

        Examples:
            >>> K, V = KVCache().append(np.ones((2, 1, 4)), np.zeros((2, 1, 4)))
            >>> K.shape, V.shape
            ((2, 1, 4), (2, 1, 4))
        """
        K, V = float_array("K", K), float_array("V", V)
        check_axes("K", K, "(*batch, n_kv_heads, n_new, d_head)", 2)
        check_shape("V", V, "(shape of K up to n_new, d_value)", (*K.shape[:-1], "d_value"))
        check_fits("K", K, self._K)
        check_fits("V", V, self._V)
        end = self._length + K.shape[-2]
        self._K, self._V = self._with_room(K, self._K, end), self._with_room(V, self._V, end)
        self._K[..., self._length : end, :] = K
        self._V[..., self._length : end, :] = V
        self._length = end
        return self.K, self.V

    @contextmanager
    def undone_on_failure(self) -> Iterator[None]:
        """Forget what was appended inside the block if the block fails."""
        before = self._length, self._K, self._V
        try:
            yield
        except BaseException:
            self._length, self._K, self._V = before
            raise

    def _with_room(self, new: np.ndarray, held: np.ndarray | None, end: int) -> np.ndarray:
        if held is not None and end <= held.shape[-2]:
            return held
        room = end if held is None else max(end, 2 * held.shape[-2])
        grown = np.empty((*new.shape[:-2], room, new.shape[-1]), new.dtype)
        if held is not None:
            grown[..., : self._length, :] = held[..., : self._length, :]
        return grown

    def _live(self, held: np.ndarray | None) -> np.ndarray:
        if held is None:
            raise ShapeError("cache must hold a position before it is read, got an empty one. Append first")
        view = held[..., : self._length, :]
        view.flags.writeable = False
        return view


def check_fits(name: str, new: np.ndarray, held: np.ndarray | None) -> None:
    """Refuse rows that the cache's own cannot stand before."""
    if held is None:
        return
    symbols = f"(batch and heads of the cache, n_new, width of {name})"
    check_shape(name, new, symbols, (*held.shape[:-2], "n_new", held.shape[-1]))
    if new.dtype != held.dtype:
        raise DTypeError(f"{name} must have the dtype of the cache = {held.dtype}, got {new.dtype}")
