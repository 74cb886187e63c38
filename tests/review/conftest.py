from tests.project import project

__all__ = ["project"]
