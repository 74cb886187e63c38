"""What a built folder needs before strangers read it: only what is in use, nothing from elsewhere, nothing inline."""

from qkvdocs.engine.publish._publish import publish

__all__ = ["publish"]
