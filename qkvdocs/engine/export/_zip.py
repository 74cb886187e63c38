"""Zips that are the same bytes for the same files, whenever these were written."""

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo


def put(packed: ZipFile, name: str, data: bytes) -> None:
    """Put a file into a zip, without the time.

    Args:
        packed: The zip.
        name: Of the file in it.
        data: What the file holds.
    """
    entry = ZipInfo(name)
    entry.compress_type, entry.external_attr = ZIP_DEFLATED, 0o644 << 16
    packed.writestr(entry, data, compresslevel=9)


def pack(folder: Path, file: Path, inside: str = "") -> None:
    """Zip a folder.

    Args:
        folder: What to pack.
        file: The zip.
        inside: A folder in the zip that holds it all.
    """
    with ZipFile(file, "w") as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                put(packed, f"{inside}/{path.relative_to(folder).as_posix()}".lstrip("/"), path.read_bytes())
