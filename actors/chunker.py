"""Documents in, passages out: cuts by the embedding model's own tokenizer, as `corpus.chunking` says. No weights, no Ray."""

from functools import cached_property

import pyarrow as pa

from actors.corpus.checking import content_hash
from actors.corpus.chunking import DocumentCutter
from actors.corpus.schema import CHUNK_SCHEMA, Passages
from actors.loading import EncoderSpec
from configs.errors import UserError
from configs.schema import CorpusConfig


class Chunker:
    """Cuts the documents of a unit. Crosses processes without its tokenizer, which each of them opens when it needs it."""

    def __init__(self, spec: EncoderSpec, corpus: CorpusConfig) -> None:
        self._spec, self._corpus = spec, corpus

    def __reduce__(self) -> tuple[object, ...]:
        return Chunker, (self._spec, self._corpus)

    def __call__(self, documents: Passages) -> Passages:
        """CHUNK_SCHEMA of DOCUMENT_SCHEMA: at least one passage a document, in order, with the document's metadata and source."""
        rows = [row for document in documents.table.to_pylist() for row in self._passages(document)]
        return Passages(pa.Table.from_pylist(rows, CHUNK_SCHEMA), documents.rejects, documents.rows_read)

    def _passages(self, document: dict) -> list[dict]:
        lead, pieces = self._cutter(document["title"], document["text"])
        kept = {"document_id": document["id"], **{name: document[name] for name in ("metadata", "source", "source_row")}}
        ids = [f"{document['id']}#{number}" for number in range(len(pieces))]
        return [
            {"id": name, "text": f"{lead}{piece}", "content_hash": content_hash(name, lead, piece), **kept}
            for name, piece in zip(ids, pieces, strict=True)
        ]

    @cached_property
    def _cutter(self) -> DocumentCutter:
        return self.open()

    def open(self) -> DocumentCutter:
        """The cutter over this model's tokenizer. Raises UserError when passages would not fit the model, or no text the passages."""
        chunking, tokenizer = self._corpus.chunking, self._spec.tokenizer()
        if chunking is None:
            raise ValueError("the corpus has no chunking")
        if chunking.tokens > tokenizer.max_length:
            raise UserError(
                f"corpus.chunking.tokens is {chunking.tokens} but embed.model reads {tokenizer.max_length} tokens of a passage: "
                f"lower it to {tokenizer.max_length}, or raise embed.max_length where the model allows."
            )

        def count(text: str) -> int:
            tokens = tokenizer.passages([text])
            return len(tokens.values) + tokens.truncated  # one that is cut at the model's limit is over any budget

        return DocumentCutter(count, chunking.tokens, chunking.overlap, self._corpus.title_separator)
