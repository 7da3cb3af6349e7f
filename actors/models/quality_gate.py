"""An encoder in 8-bit integers and the same in float32 in; a UserError out where rounding has moved its dense vectors too far."""

from collections.abc import Callable

from actors.models.encoder import Encoder
from configs.errors import UserError

LEAST_COSINE = 0.99
"""Mean over the probe's texts, of the vectors of both."""

PROBE = (
    "Where does the giant panda live?",
    "The giant panda is a bear that lives in a few mountain ranges of central China and feeds almost wholly on bamboo.",
    "大熊猫生活在中国中部的山区 几乎只吃竹子。",
    "The committee shall publish its decision within thirty days; until then the earlier rules remain in force.",
    "def mean(values): return sum(values) / len(values) if values else 0.0",
    "Patients who received 20 mg of the drug daily had fewer relapses (12 % against 31 %, p < 0.01) after two years.",
    "LP-4410 fuser kit, 220 V, for models 4015n and 4515x; order no. 88-1204",
    "Quel est le plus haut sommet d'Europe, et qui l'a gravi le premier ?",
)
"""Questions, prose, figures, code and other scripts: what a corpus holds."""


def require_quality(encoder: Encoder, exact: Callable[[], Encoder]) -> None:
    """Compare the vectors of PROBE. `exact` opens the same checkpoint in float32, which is let go of afterwards."""
    rounded, right = (model.encode_corpus(PROBE).dense for model in (encoder, exact()))
    lengths = (rounded**2).sum(1) * (right**2).sum(1)
    cosine = float(((rounded * right).sum(1) / lengths**0.5).mean())
    if not cosine >= LEAST_COSINE:  # not a number is none either
        raise UserError(
            f"precision int8 moves the vectors of {encoder.folder.name} too far: their mean cosine to those in fp32 is {cosine:.4f} and "
            f"has to be {LEAST_COSINE}: use precision fp32 or bf16."
        )
