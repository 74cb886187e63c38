"""Whole models: right ones of many types are never accused, in three precisions, and broken ones are named."""

from typing import Any

import pytest
import torch

from qkvdocs.clinic import Report, assert_healthy, examine_model
from qkvdocs.clinic._report import TOO_COARSE
from qkvdocs.errors import ContractError
from tests.parity.families import FAMILIES, Family
from tests.parity.models import build

name = pytest.mark.parametrize
READ = [family for family in FAMILIES if family.inputs == "ids"]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def examined(family: Family, dtype: torch.dtype) -> Report | None:
    """Examine a tiny model; None where it has what no contract declares."""
    with torch.no_grad():
        try:
            return examine_model(build(family, dtype), most=1)
        except ContractError as error:
            assert "which no contract declares" in str(error) or "that no contract declares" in str(error)  # noqa: PT017
            return None


@name("dtype", DTYPES, ids=str)
def test_no_right_model_is_accused(dtype: torch.dtype) -> None:
    """Forty and more types; what half precision cannot tell, it says so."""
    reports = {family.name: examined(family, dtype) for family in READ}
    known = {name: report for name, report in reports.items() if report is not None}
    accused = {
        name: str(report)
        for name, report in known.items()
        if {finding.bug for finding in report.findings} - {TOO_COARSE} or not report.tried
    }
    assert not accused
    healthy = [name for name, report in known.items() if report.healthy]
    assert len(known) >= 40
    assert len(healthy) >= {torch.float32: 1, torch.float16: 0.8, torch.bfloat16: 0.7}[dtype] * len(known)


def of(name: str) -> Any:
    """Build the tiny model of a family."""
    return build(next(family for family in READ if family.name == name), torch.float32)


BROKEN: dict[str, tuple[str, Any]] = {
    "softcap": ("gemma2 (softcap)", lambda m: setattr(m.layers[0].self_attn, "attn_logit_softcapping", None)),
    "scale": ("llama", lambda m: setattr(m.layers[0].self_attn, "scaling", 1.0)),
    "qk-norm": (
        "qwen3 (norm)",
        lambda m: setattr(m.layers[0].self_attn.q_norm, "forward", lambda rows: rows),
    ),
    "rotary-style": ("llama", lambda m: m.rotary_emb.inv_freq.mul_(0.5)),
}


@name("bug", BROKEN)
def test_a_model_whose_code_strays_from_its_config_is_named(bug: str) -> None:
    """The config says one thing and a module does another: a port gone wrong."""
    family, break_it = BROKEN[bug]
    family = next((one.name for one in READ if one.name.startswith(family.split(" ")[0])), family)
    with torch.no_grad():
        model = of(family)
        break_it(model)
        assert bug in {name for finding in examine_model(model).findings for name in finding.names}


class Small(torch.nn.Module):
    """Attention as nanoGPT writes it."""

    def __init__(self, causal: bool = True) -> None:
        super().__init__()
        self.c_attn, self.c_proj = torch.nn.Linear(32, 96), torch.nn.Linear(32, 32)
        self.n_head, self.causal = 4, causal

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attend."""
        q, k, v = (part.unflatten(-1, (4, 8)).transpose(1, 2) for part in self.c_attn(x).split(32, 2))
        made = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        out: torch.Tensor = self.c_proj(made.transpose(1, 2).flatten(2))
        return out


@name("dtype", DTYPES, ids=str)
def test_modules_that_are_no_models_of_transformers(dtype: torch.dtype) -> None:
    """nn.MultiheadAttention in both orders of axes, and nanoGPT's; one of them without its mask."""
    torch.manual_seed(0)
    with torch.no_grad():
        for module in (
            torch.nn.MultiheadAttention(32, 4),
            torch.nn.MultiheadAttention(32, 4, batch_first=True, bias=False),
            torch.nn.Sequential(Small(), Small()),
        ):
            for parameter in module.parameters():
                parameter.normal_(std=0.3)
            assert_healthy(module.eval().to(dtype))
        leaky = Small(causal=False).eval().to(dtype)
        assert {finding.bug for finding in examine_model(leaky).findings} == {"causality"}


def test_a_model_in_training_is_refused() -> None:
    """Dropout would be alive."""
    with pytest.raises(ContractError, match=r"^model must be in evaluation mode, got one in training"):
        examine_model(Small().train())
