# The atlas as plain data, for readers in another language: the page that opens a checkpoint in the browser.

import json
from dataclasses import asdict

from qkvdocs.wild import _config
from qkvdocs.wild._atlas import ATLAS, BREAKS
from qkvdocs.wild._dtypes import BITS, FLOATS
from qkvdocs.wild._header import LARGEST
from qkvdocs.wild._plan import SCALES


def atlas_json() -> str:
    """Write all that a reader of checkpoints must know, as JSON.

    Returns:
        An object with the layouts, the names that head counts have in config.json, the dtypes and their
        bits, and what breaks the rule.

    Examples:
        >>> data = json.loads(atlas_json())
        >>> data["layouts"][0]["family"], data["bits"]["BF16"]
        ('GPT-2', 16)
    """
    data = {
        "layouts": [asdict(row) for row in ATLAS],
        "breaks": BREAKS,
        "names": {
            "n_heads": _config.HEADS,
            "n_kv_heads": _config.KV_HEADS,
            "d_model": _config.D_MODEL,
            "d_head": _config.D_HEAD,
            "multi_query": _config.MULTI_QUERY,
            "also_called": _config.ALSO_CALLED,
            "default": _config.DEFAULT,
        },
        "bits": BITS,
        "floats": FLOATS,
        "scales": SCALES,
        "largest_header": LARGEST,
    }
    # Without a "<" it can stand inside a page's script element.
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
