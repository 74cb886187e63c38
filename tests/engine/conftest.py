from tests.project import lesson, project, rendered_blank

__all__ = ["lesson", "project", "rendered_blank"]
