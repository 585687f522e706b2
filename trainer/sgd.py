"""
SGD with Nesterov momentum: torch's own arithmetic, without the seconds that torch.optim.SGD spends on loading
torch.compile.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd


class Sgd:
    """
    Does what torch.optim.SGD(nesterov=True, fused=True) does, bit for bit. Norms and biases are not decayed: they are
    few, and shrinking them only shifts activations (He et al., arXiv 1812.01187, section 3.1).
    """

    def __init__(self, network: nn.Module, momentum: float, weight_decay: float):
        trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
        decayed = [parameter for parameter in trainable if parameter.ndim > 1]
        others = [parameter for parameter in trainable if parameter.ndim <= 1]
        self._groups = [(weight_decay, decayed), (0.0, others)]
        self._parameters = [*decayed, *others]
        self._momentum = momentum
        self._velocities: dict[Tensor, Tensor] = {}

    def zero_grad(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Moves every parameter that has a gradient."""
        for weight_decay, parameters in self._groups:
            moving = [(parameter, parameter.grad) for parameter in parameters if parameter.grad is not None]
            velocities = [self._velocities.get(parameter) for parameter, _ in moving]
            sgd(
                [parameter for parameter, _ in moving],
                [gradient for _, gradient in moving],
                velocities,
                fused=True,
                lr=learning_rate,
                momentum=self._momentum,
                weight_decay=weight_decay,
                dampening=0.0,
                nesterov=self._momentum > 0,
                maximize=False,
            )
            for (parameter, _), velocity in zip(moving, velocities, strict=True):
                if velocity is not None:
                    self._velocities[parameter] = velocity

    def state_dict(self) -> dict[str, Any]:
        """The momentum of each parameter by its number, as in the state of torch.optim.SGD."""
        momenta = (self._velocities.get(parameter) for parameter in self._parameters)
        return {'state': {number: {'momentum_buffer': momentum} for number, momentum in enumerate(momenta)}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for number, parameter in enumerate(self._parameters):
            momentum = state['state'].get(number, {}).get('momentum_buffer')
            if momentum is not None:
                self._velocities[parameter] = momentum.to(parameter.device)
