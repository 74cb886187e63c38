"""How a page fails, and how it is read."""

from pathlib import Path


class LessonError(SystemExit):
    """A page cannot be published; the first line of the message is `file:line: Type: message`.

    It ends the program, for two reasons. MkDocs and superfences catch `Exception`: the one prints a line of its
    own first, the other carries on. And whichever builder runs, with whatever flags, the exit code is 1.
    """

    def __init__(self, file: str, line: int, kind: str, message: str, way: str = "") -> None:
        self.file, self.line, self.kind, self.message, self.way = file, line, kind, message, way
        super().__init__(f"{file}:{line}: {kind}: {message}" + (f"\n{way.rstrip()}" if way else ""))

    def __reduce__(self) -> tuple[type["LessonError"], tuple[str, int, str, str, str]]:
        # So that it comes whole out of a process that works beside another.
        return type(self), (self.file, self.line, self.kind, self.message, self.way)


def read_utf8(path: Path, root: Path) -> str:
    """Read a file that somebody wrote by hand.

    Args:
        path: The file.
        root: The folder that messages are relative to.

    Returns:
        Its text, without a byte order mark.

    Raises:
        LessonError: If it is not UTF-8.
    """
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"the file must be UTF-8, got byte 0x{data[error.start]:02x}: save it as UTF-8"
        raise LessonError(path.relative_to(root).as_posix(), line, "EncodingError", message) from None
