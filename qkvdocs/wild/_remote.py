# One file behind an address, read by ranges. fsspec is an optional extra and loaded on first use.

from typing import Any

import numpy as np

from qkvdocs.errors import CheckpointError


class RemoteFile:
    """A file on a server that answers ranges."""

    def __init__(self, address: str) -> None:
        self.name = address
        try:
            self._file = _filesystem(address).open(address, "rb", cache_type="none")
            self.size = int(self._file.size)
        except CheckpointError:
            raise
        except FileNotFoundError:
            raise CheckpointError(f"{address} must be a file that can be read, got: no such file") from None
        except (TypeError, AttributeError):  # fsspec gives a bare stream where no size is known
            raise CheckpointError(f"{address} must tell its size and answer ranges, got a stream") from None
        except Exception as error:  # each kind of server has errors of its own
            raise _failed(address, error) from error

    def read(self, start: int, stop: int) -> bytes:
        """Ask for the bytes from `start` up to `stop`, and for no others."""
        try:
            self._file.seek(start)
            data = bytes(self._file.read(stop - start))
        except Exception as error:
            raise _failed(self.name, error) from error
        if len(data) != stop - start:
            raise CheckpointError(
                f"{self.name} must answer the range {start}-{stop - 1} with {stop - start} bytes, "
                f"got {len(data)}. Does the server ignore ranges? Download the file"
            )
        return data

    def array(self, start: int, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        """Fetch the values that begin at byte `start`."""
        count = int(np.prod(shape, dtype=object))
        data = self.read(start, start + count * np.dtype(dtype).itemsize)
        return np.frombuffer(data, dtype).reshape(shape)


def exists(address: str) -> bool:
    """Ask whether there is a file at an address."""
    try:
        # Not `isfile`: over http that begins to fetch the whole file.
        return bool(_filesystem(address).info(address).get("type", "file") == "file")
    except CheckpointError:
        raise
    except FileNotFoundError:
        return False
    except Exception as error:
        raise _failed(address, error) from error


def _filesystem(address: str) -> Any:
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        raise CheckpointError(f"{address} needs fsspec: pip install 'qkvdocs[remote]'") from None
    try:
        return url_to_fs(address)[0]
    except (ImportError, ValueError) as error:
        raise CheckpointError(f"{address} must be an address that fsspec opens, got: {error}") from None


def _failed(address: str, error: Exception) -> CheckpointError:
    reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return CheckpointError(
        f"{address} must answer range requests, got {reason}. If it cannot, download the file"
    )
