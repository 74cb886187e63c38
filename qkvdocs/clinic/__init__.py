"""Probes that catch silent attention bugs in anybody's implementation.

Hand over what you have, each function with the contract that it keeps; `examine` runs all that fits and says
what is wrong, with the number that proves it, or what it tried and what it could not test. Functions may
take arrays of numpy, torch or another library: the probes hand them their own kind.
"""

from qkvdocs.clinic._bugs import BUGS, SYMPTOMS, Bug
from qkvdocs.clinic._contracts import (
    AdapterTargets,
    Attend,
    Attention,
    CacheBytes,
    Features,
    HeadWidth,
    Norm,
    Project,
    Rotary,
    Step,
)
from qkvdocs.clinic._examine import assert_healthy, examine
from qkvdocs.clinic._latent import LatentWeights
from qkvdocs.clinic._model import examine_model
from qkvdocs.clinic._report import Finding, Report
from qkvdocs.clinic._weights import weights_from

__all__ = [
    "BUGS",
    "SYMPTOMS",
    "AdapterTargets",
    "Attend",
    "Attention",
    "Bug",
    "CacheBytes",
    "Features",
    "Finding",
    "HeadWidth",
    "LatentWeights",
    "Norm",
    "Project",
    "Report",
    "Rotary",
    "Step",
    "assert_healthy",
    "examine",
    "examine_model",
    "weights_from",
]
