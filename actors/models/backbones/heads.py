"""States of a text's first token in, one relevance logit out: the classification heads of BERT-like rerankers."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from actors.models.backbones.layers import Linear
from actors.models.backbones.tensors import Tensors


@dataclass(frozen=True, slots=True)
class ClassificationHead:
    """x [b, hidden] -> out(act(dense(x))) [b]."""

    dense: Linear
    act: Callable[[torch.Tensor], torch.Tensor]
    out: Linear

    def __call__(self, first: torch.Tensor) -> torch.Tensor:
        """Logits, float32 [b]."""
        return self.out(self.act(self.dense(first))).float().squeeze(1)

    @classmethod
    def take(cls, model_type: str, prefix: str, tensors: Tensors) -> "ClassificationHead":
        """The head beside a network of this type, whose own weights' names begin with `prefix`. Raises UserError when it is absent."""
        if model_type == "bert":
            return cls(Linear.take(tensors, f"{prefix}pooler.dense"), torch.tanh, Linear.take(tensors, "classifier"))
        if model_type == "distilbert":
            return cls(Linear.take(tensors, "pre_classifier"), torch.relu, Linear.take(tensors, "classifier"))
        return cls(Linear.take(tensors, "classifier.dense"), torch.tanh, Linear.take(tensors, "classifier.out_proj"))
