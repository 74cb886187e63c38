"""What a reader would see changed between two built sites: values of the ledger, pictures of figures."""

from qkvdocs.engine.review._changes import changes

__all__ = ["changes"]
