"""What every figure has around it: a caption, its text twin, and the element that makes numbers editable."""

from html import escape
from re import fullmatch, sub

from qkvdocs.errors import QKVError
from qkvdocs.figures._matrix import Matrix

__all__ = ["check_name", "code_block", "frame", "live", "scrolling"]


def frame(body: str, caption: str, twin: str, kind: str = "") -> str:
    """Put a caption below and the words behind a fold.

    Args:
        body: HTML of the picture.
        caption: HTML of the caption.
        twin: HTML that says all that the picture shows.
        kind: A class of the figure.

    Returns:
        A `<figure>`.
    """
    return (
        f'<figure class="qkv-figure {kind}">{body}<figcaption>{caption}</figcaption>'
        f'<details class="qkv-twin"><summary>This figure in words</summary>{twin}</details></figure>'
    )


def live(figure: str, name: str, attributes: str = "", switches: str = "", *, edit: bool) -> str:
    """Make a figure's numbers editable.

    Args:
        figure: The figure as built.
        name: Its name in the page's address; no other figure of the page may have it.
        attributes: What the script must know besides.
        switches: Fields besides the numbers.
        edit: Whether a reader can change numbers; otherwise it only explains itself.

    Returns:
        HTML in a `<div>`, because Markdown would wrap an element that it does not know in a paragraph.

    Raises:
        QKVError: If the name would not survive in an address.
    """
    check_name(name)
    if not edit:
        return f'<div id="live-{name}" class="qkv"{attributes}>{figure}</div>'
    bar = (
        f'<div class="qkv-bar">{switches}<p><span>Change any number.</span><span>{KEPT}</span></p>'
        '<button type="button">Reset</button></div>'
    )
    return (
        f'<div><qkv-live id="live-{name}" class="qkv"{attributes}>{bar}{figure}'
        '<p role="status" class="qkv-status"></p></qkv-live></div>'
    )


KEPT = "The text keeps the original numbers."


def check_name(name: str) -> None:
    """Refuse a name that would not survive in an address."""
    if not fullmatch(r"[a-z][a-z0-9-]*", name):
        raise QKVError(f"name must be lower-case letters, digits and hyphens, got {name!r}")


def scrolling(body: str, label: str) -> str:
    """Let something wide scroll in a box of its own, also by keyboard."""
    return f'<div class="qkv-scroll" tabindex="0" role="group" aria-label="{escape(label)}">{body}</div>'


def code_block(template: str, known: dict[str, Matrix]) -> str:
    """Write code whose literals follow the numbers.

    Args:
        template: Code with names in braces, such as `x = np.array({x})`.
        known: What the names stand for.

    Returns:
        A `<pre>`, or nothing without a template.

    Raises:
        QKVError: If a name is unknown.
    """
    if not template:
        return ""

    def literal(name: str) -> str:
        if name not in known:
            raise QKVError(f"code must name one of {', '.join(known)} in braces, got {{{name}}}")
        return known[name].live

    code = sub(r"\{(\w+)\}", lambda found: literal(found[1]), escape(template, quote=False))
    return f'<pre class="qkv-code" tabindex="0"><code>{code}</code></pre>'
