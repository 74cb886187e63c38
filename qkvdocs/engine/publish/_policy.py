"""A Content-Security-Policy that lets a page use this site, and nothing else."""

import base64
import hashlib
import re
from collections.abc import Iterable

INLINE = re.compile(r"<script>(.*?)</script>", re.S)
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "style-src-attr": "'unsafe-inline'",  # widths and shades of computed figures
    "img-src": "'self' data:",  # the theme's icons
    "font-src": "'self'",
    "connect-src": "'self'",
    "worker-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'self'",
}


def policy(inline: Iterable[str]) -> str:
    """Write the policy of a built folder.

    Args:
        inline: The theme's few inline scripts, which are allowed by their hashes, those of all pages together, since a
            page that is swapped in keeps the policy of the page before. We have none of our own.

    Returns:
        The value of the header or of the meta element.
    """
    hashes = sorted(base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in {*inline})
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return "; ".join(
        f"{name} {value} {allowed}".rstrip() if name == "script-src" else f"{name} {value}"
        for name, value in POLICY.items()
    )


def protected(page: str, said: str) -> str:
    """Put a policy into a page, where it holds whatever the host sends."""
    return page.replace("<head>", f'<head><meta http-equiv="Content-Security-Policy" content="{said}">', 1)
