"""A model in 8-bit integers and the same in float32 in; a UserError out where rounding has moved its vectors or scores too far."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from configs.errors import UserError

if TYPE_CHECKING:
    from actors.models.cross_encoder import CrossEncoder
    from actors.models.encoder import Encoder

LEAST_COSINE = 0.99
"""Mean over the probe's texts, of the vectors of both."""

LEAST_CORRELATION = 0.99
"""Mean over the probe's questions, of the scores that both give all of its passages: the order within a query is what counts."""

QUESTIONS = (
    "Where does the giant panda live?",
    "By what time must the committee publish its decision?",
    "python function for the arithmetic mean of a list",
    "Does the drug prevent relapses?",
    "Quel est le plus haut sommet d'Europe, et qui l'a gravi le premier ?",
)
PASSAGES = (
    "The giant panda is a bear that lives in a few mountain ranges of central China and feeds almost wholly on bamboo.",
    "大熊猫生活在中国中部的山区 几乎只吃竹子。",
    "Red pandas live in the eastern Himalayas; they are not bears.",
    "The committee shall publish its decision within thirty days; until then the earlier rules remain in force.",
    "A committee of nine members is elected by the assembly every four years.",
    "def mean(values): return sum(values) / len(values) if values else 0.0",
    "Patients who received 20 mg of the drug daily had fewer relapses (12 % against 31 %, p < 0.01) after two years.",
    "LP-4410 fuser kit, 220 V, for models 4015n and 4515x; order no. 88-1204",
    "L'Elbrouz, 5 642 m, fut gravi en 1829 par Killar Khachirov ; le mont Blanc, 4 806 m, en 1786 par Balmat et Paccard.",
)
"""Prose, figures, code and other scripts: what a corpus holds. Some answer a question, some only share its words."""


def require_quality(encoder: "Encoder", exact: Callable[[], "Encoder"]) -> None:
    """Compare the vectors of the probe's texts. `exact` opens the same checkpoint in float32, which is let go of afterwards."""
    rounded, right = (model.encode_corpus((*QUESTIONS, *PASSAGES)).dense for model in (encoder, exact()))
    lengths = (rounded**2).sum(1) * (right**2).sum(1)
    cosine = float(((rounded * right).sum(1) / lengths**0.5).mean())
    if not cosine >= LEAST_COSINE:  # not a number is none either
        raise UserError(
            f"precision int8 moves the vectors of {encoder.folder.name} too far: their mean cosine to those in fp32 is {cosine:.4f} and "
            f"has to be {LEAST_COSINE}: use precision fp32 or bf16."
        )


def require_same_order(reranker: "CrossEncoder", exact: Callable[[], "CrossEncoder"]) -> None:
    """Compare the scores that each of the probe's passages gets for each question; otherwise as require_quality."""
    pairs = [(question, passage) for question in QUESTIONS for passage in PASSAGES]
    rounded, right = (model.compute_score(pairs).reshape(len(QUESTIONS), -1) for model in (reranker, exact()))
    correlation = float(np.mean([np.corrcoef(one, other)[0, 1] for one, other in zip(rounded, right, strict=True)]))
    if not correlation >= LEAST_CORRELATION:
        raise UserError(
            f"precision int8 changes the scores of {reranker.folder.name} too much: the correlation of a question's scores with those in "
            f"fp32 is {correlation:.4f} and has to be {LEAST_CORRELATION}: use precision fp32 or bf16."
        )
