"""The package without the engine as a wheel; the same files give the same bytes."""

import hashlib
import io
import zipfile
from base64 import urlsafe_b64encode
from importlib.metadata import version
from pathlib import Path

PACKAGE = Path(__file__).parents[2]
ENGINE = PACKAGE / "engine"
DATE = (1980, 1, 1, 0, 0, 0)


def wheel() -> tuple[str, bytes]:
    """Make the wheel.

    Returns:
        Its name, which changes with its contents so that no browser keeps an old one, and its bytes.
    """
    files = {
        f"{PACKAGE.name}/{path.relative_to(PACKAGE).as_posix()}": path.read_bytes()
        for path in sorted(PACKAGE.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and ENGINE not in path.parents
    }
    release = version(PACKAGE.name)
    info = f"{PACKAGE.name}-{release}.dist-info"
    build = f"0{_digest(b''.join(name.encode() + data for name, data in files.items())).hex()[:8]}"
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.4\nName: {PACKAGE.name}\nVersion: {release}\n".encode()
    files[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: qkvdocs\nRoot-Is-Purelib: true\nTag: py3-none-any\nBuild: {build}\n"
    ).encode()
    hashes = {name: urlsafe_b64encode(_digest(data)).rstrip(b"=").decode() for name, data in files.items()}
    record = [f"{name},sha256={hashes[name]},{len(data)}" for name, data in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED, 9)
    return f"{PACKAGE.name}-{release}-{build}-py3-none-any.whl", made.getvalue()


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
