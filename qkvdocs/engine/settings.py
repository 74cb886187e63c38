"""What the engine must know of a site: `docs/site.toml`, each entry of which may be left out."""

import functools
import importlib
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qkvdocs.errors import QKVError

__all__ = ["Settings"]

TABLES = {"fonts", "packs"}


@dataclass(frozen=True)
class Settings:
    """The settings of one site.

    Examples:
        >>> Settings.of(Path("no/such/site")).preload
        ('numpy',)
    """

    preload: tuple[str, ...] = ("numpy",)
    """Modules that pages import: loaded once, before a page asks for them."""
    assets: tuple[str, ...] = ()
    """Files that figures need in the browser, as `package/path/to/file`: placed in the site's `assets/`."""
    controls: tuple[str, ...] = ()
    """CSS selectors of what only a browser can use in a figure: left out where pages become text."""
    drawings: tuple[str, ...] = ()
    """CSS selectors of what a figure draws, left out likewise where words beside it say the same; whole on paper."""
    previews: tuple[str, ...] = ()
    """CSS selectors of tables of which a page's preview picture may show the first small one."""

    unsearched: tuple[str, ...] = ()
    """Classes of what the search leaves out: numbers and labels that make no sentence."""

    book: str = ""
    """Title of all lessons in one; the site's name where it is empty."""

    roles: str = ""
    """`module:function` that gives for a name, a label or a piece of code the class that colours it, or nothing."""

    fonts: tuple[dict[str, Any], ...] = ()
    """Fonts of the text, a table for each: `source`, a file of an installed package, is cut to the characters in use,
    called `family`, and placed in `assets/` as `file`; of its OpenType features `features` are kept, if given."""

    packs: tuple[dict[str, Any], ...] = ()
    """Files that pages load beside Python, a table for each folder of them; `qkvdocs.engine.runtime.Pack` reads it."""

    @classmethod
    def of(cls, docs: Path) -> "Settings":
        """Read the settings of the site whose Markdown files are in `docs`.

        Raises:
            QKVError: If the file is no TOML, or an entry is unknown or of the wrong kind.
        """
        path = docs / "site.toml"
        return cls._read(path.read_text("utf-8") if path.exists() else "")

    @classmethod
    @functools.lru_cache(maxsize=16)  # asked for again by each page
    def _read(cls, text: str) -> "Settings":
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise QKVError(f"docs/site.toml must be TOML, got {error}") from None
        known = sorted(cls.__dataclass_fields__)
        for name, value in table.items():
            if name not in known:
                raise QKVError(f"docs/site.toml must have entries from {known}, got {name!r}")
            texts = value if isinstance(value, list) else [value]
            one, inside = isinstance(getattr(cls, name), str), dict if name in TABLES else str
            if isinstance(value, str) != one or not all(isinstance(each, inside) for each in texts):
                kind = "a text" if one else f"a list of {'tables' if inside is dict else 'texts'}"
                raise QKVError(f"{name} in docs/site.toml must be {kind}, got {value!r}")
        given: dict[str, Any] = {
            name: value if isinstance(value, str) else tuple(value) for name, value in table.items()
        }
        return cls(**given)

    @functools.cached_property
    def role(self) -> Callable[[str], str]:
        """The function that `roles` names; without one, nothing has a class.

        Raises:
            QKVError: If there is no such function.
        """
        if not self.roles:
            return lambda name: ""
        module, _, function = self.roles.partition(":")
        try:
            found: Callable[[str], str] = getattr(importlib.import_module(module), function)
        except (ImportError, ValueError, AttributeError) as error:
            raise QKVError(
                f"roles in docs/site.toml must be module:function, got {self.roles!r}: {error}"
            ) from None
        return found
