"""What an attention module really multiplies: the operands of its matrix products."""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

PRODUCTS = {
    torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.Tensor.__rmatmul__,
    torch.bmm, torch.Tensor.bmm, torch.baddbmm, torch.Tensor.baddbmm,
}  # fmt: skip
BATCHED_ADD = {torch.baddbmm, torch.Tensor.baddbmm}


class Spy(TorchFunctionMode):
    """Records the matrix products of one module in its first run."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.products: list[tuple[Any, Any, Any]] = []
        self.einsums: list[torch.Tensor] = []
        self.args: tuple[Any, ...] | None = None
        self.kwargs: dict[str, Any] = {}
        self.output: Any = None
        self._on = False
        self._hooks = [
            module.register_forward_pre_hook(self._enter, with_kwargs=True),
            module.register_forward_hook(self._leave),
        ]

    def _enter(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.args is None:
            self.args, self.kwargs, self._on = args, kwargs, True

    def _leave(self, module: torch.nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if self._on:
            self.output = output[0] if isinstance(output, tuple | list) else output
        self._on = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        watched = self._on and (func in PRODUCTS or func is torch.einsum)
        operands = (
            [arg.detach().clone() if isinstance(arg, torch.Tensor) else arg for arg in args]
            if watched
            else []
        )
        result = func(*args, **kwargs)
        if watched and func is torch.einsum:
            self.einsums.append(result)
            if len(operands) == 3:
                self.products.append((operands[1], operands[2], result))
        elif watched and func in BATCHED_ADD:
            left = kwargs.get("batch1", operands[1] if len(operands) > 1 else None)
            right = kwargs.get("batch2", operands[2] if len(operands) > 2 else None)
            self.products.append((left, right, result))
        elif watched:
            self.products.append((operands[0], operands[1], result))
        return result

    def close(self) -> None:
        """Leave the module as it was."""
        for hook in self._hooks:
            hook.remove()
