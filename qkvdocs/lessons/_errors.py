class LessonError(SystemExit):
    """A page cannot be published; the first line of the message is `file:line: Type: message`.

    It ends the program, for two reasons. MkDocs and superfences catch `Exception`: the one prints a line of its
    own first, the other carries on. And whichever builder runs, with whatever flags, the exit code is 1.
    """

    def __init__(self, file: str, line: int, kind: str, message: str, way: str = "") -> None:
        self.file, self.line, self.kind, self.message = file, line, kind, message
        super().__init__(f"{file}:{line}: {kind}: {message}" + (f"\n{way.rstrip()}" if way else ""))
