# The atlas as plain data, for readers in another language: the page that opens a checkpoint in the browser.

import json
from dataclasses import asdict

from qkvdocs.wild import _config, _kinds
from qkvdocs.wild._atlas import ATLAS, MIXERS
from qkvdocs.wild._dtypes import BITS, FLOATS
from qkvdocs.wild._find import NAMED, breaks
from qkvdocs.wild._folder import LARGEST_JSON
from qkvdocs.wild._formats import READ, STARTS, SUFFIXES
from qkvdocs.wild._header import LARGEST
from qkvdocs.wild._plan import SCALES

ELSEWHERE = ". This page reads .safetensors; the command line reads it: qkvdocs wild FILE"


def atlas_json() -> str:
    """Write all that a reader of checkpoints must know, as JSON.

    Returns:
        An object with the layouts, the names that head counts have in config.json, the dtypes and their
        bits, what breaks the rule, and which other formats are refused.

    Examples:
        >>> data = json.loads(atlas_json())
        >>> data["layouts"][0]["family"], data["bits"]["BF16"]
        ('GPT-2', 16)
    """
    data = {
        "layouts": [asdict(row) for row in ATLAS],
        "breaks": breaks(ATLAS),
        "mixers": MIXERS,
        "named": NAMED.pattern.replace(r"\Z", "$"),
        "kinds": {
            "cross": _kinds.CROSS,
            "towers": _kinds.TOWERS,
            "encoders": sorted(_kinds.ENCODERS),
            "stepwise": sorted(_kinds.STEPWISE),
        },
        "suffixes": SUFFIXES | {suffix: f"{what}{ELSEWHERE}" for suffix, what in READ.items() if what},
        "starts": {start.decode("latin-1"): what for start, what in STARTS.items()}
        | {"GGUF": f"GGUF{ELSEWHERE}", "PK\x03\x04": f"a zip archive{ELSEWHERE}"},
        "names": {
            "n_heads": _config.HEADS,
            "n_kv_heads": _config.KV_HEADS,
            "d_model": _config.D_MODEL,
            "d_head": _config.D_HEAD,
            "multi_query": _config.MULTI_QUERY,
            "also_called": _config.ALSO_CALLED,
            "default": _config.DEFAULT,
            "layers": _config.LAYERS,
            "deepest": _config.DEEPEST,
            "widest": _config.WIDEST,
        },
        "bits": BITS,
        "floats": FLOATS,
        "scales": SCALES,
        "largest_header": LARGEST,
        "largest_json": LARGEST_JSON,
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    # Without a "<" it can stand inside a page's script element, and no page holds a control character.
    return "".join(c if c.isprintable() and c != "<" else f"\\u{ord(c):04x}" for c in text)
