"""Which names are those of a query, a key or a value: each of the three has one colour wherever it stands."""

from re import IGNORECASE, compile, findall

__all__ = ["role"]

NAME = compile(r"(?:.*\.)?(?:[Wb]_)?([qkv])(?![a-z])", IGNORECASE)
WORD = compile(r"(quer(?:y|ies)|keys?|values?)$", IGNORECASE)


def role(text: str) -> str:
    """Tell whose name a text is.

    Args:
        text: A name such as `W_Q`, `q2`, `K.T` or `q_proj.weight`, or a short label or code with such names.

    Returns:
        `q`, `k` or `v`, which is also the class that gives the colour; nothing where no name is one of the
        three's, or names of two of them stand in the text.

    Examples:
        >>> [role(text) for text in ("W_Q", "k1 = [2, 2]", "values", "x @ W_V", "Q @ K.T", "d_k", "x")]
        ['q', 'k', 'v', 'v', '', '', '']
    """
    found = [NAME.match(word) or WORD.match(word) for word in findall(r"\w+(?:\.\w+)*", text)]
    roles = {match[1][0].lower() for match in found if match}
    return roles.pop() if len(roles) == 1 else ""
