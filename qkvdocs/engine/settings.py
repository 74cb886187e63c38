"""What the engine must know of a site: `docs/site.toml`, each entry of which may be left out."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from qkvdocs.errors import QKVError

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """The settings of one site.

    Examples:
        >>> Settings.of(Path("no/such/site"))
        Settings(preload=('numpy',), assets=())
    """

    preload: tuple[str, ...] = ("numpy",)
    """Modules that pages import: loaded once, before a page asks for them."""
    assets: tuple[str, ...] = ()
    """Files that figures need in the browser, as `package/path/to/file`: placed in the site's `assets/`."""

    @classmethod
    def of(cls, docs: Path) -> "Settings":
        """Read the settings of the site whose Markdown files are in `docs`.

        Raises:
            QKVError: If the file is no TOML, or an entry is unknown or no list of texts.
        """
        path = docs / "site.toml"
        try:
            table = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
        except tomllib.TOMLDecodeError as error:
            raise QKVError(f"docs/site.toml must be TOML, got {error}") from None
        known = sorted(cls.__dataclass_fields__)
        for name, value in table.items():
            if name not in known:
                raise QKVError(f"docs/site.toml must have entries from {known}, got {name!r}")
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                raise QKVError(f"{name} in docs/site.toml must be a list of texts, got {value!r}")
        return cls(**{name: tuple(value) for name, value in table.items()})
