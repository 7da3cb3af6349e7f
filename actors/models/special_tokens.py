"""A checkpoint's files in, its special tokens and a tokenizer that ends texts as the model expects out. No torch, no weights."""

from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from actors.models.description import CheckpointInfo
from actors.models.json_files import optional_json
from configs.errors import UserError


def special_token(info: CheckpointInfo, tokenizer: Tokenizer, role: str) -> tuple[str, int] | None:
    """Text and id of a special token by its role (bos_token, eos_token...), as the tokenizer's files name it; none where they do not."""
    for names in (info.tokenizer, optional_json(info.folder / "special_tokens_map.json")):
        token = names.get(role)
        content = str(token["content"] if isinstance(token, dict) else token)
        number = tokenizer.token_to_id(content) if token else None
        if number is not None:
            return content, number
    return None


def end_texts(tokenizer: Tokenizer, info: CheckpointInfo) -> None:
    """Let the tokenizer end every text with eos where the model pools that token and tokenizer.json does not put it there.

    tokenizer_config.json may ask for it (add_eos_token, which the tokenizer.json of e5-mistral leaves out); without
    sentence-transformers files the code of the model's card appends it. Raises UserError when the tokenizer has no such token.
    """
    if not info.family.causal or info.pooling != "last":
        return
    probe = tokenizer.encode("a")
    if probe.special_tokens_mask[-1] or (info.sentence.present and not info.tokenizer.get("add_eos_token")):
        return
    eos = special_token(info, tokenizer, "eos_token")
    if eos is None:
        raise UserError(f"{info.folder} pools the end-of-text token, but tokenizer_config.json names none (eos_token): add it there.")
    before = [(token, i) for token, i, special in zip(probe.tokens, probe.ids, probe.special_tokens_mask, strict=True) if special]
    template = [*(token for token, _ in before), "$A", eos[0]]
    tokenizer.post_processor = TemplateProcessing(single=template, special_tokens=[*before, eos])
