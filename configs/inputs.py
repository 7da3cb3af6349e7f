"""The input sections: which files, which columns, and how documents become passages."""

from typing import Literal

from pydantic import Field, model_validator

from configs.base import Paths, Section


class ColumnsConfig(Section):
    """Which column of the input holds what."""

    id: str = "_id"
    """Column with the unique id (text or integer). BEIR's name, since most retrieval data uses it."""
    text: str = "text"
    """Column with the text that is embedded."""
    title: str | None = None
    """Column with the title, put before the text; none when there is no title. A missing or empty title is allowed."""
    metadata: tuple[str, ...] = ()
    """Columns carried through to the rankings, as JSON; none by default, since the index and every ranking store them."""


class InputConfig(Section):
    """A set of records: the corpus, or the queries."""

    path: Paths
    """File, folder (searched recursively) or BEIR folder; local or s3://; one or a list."""
    format: Literal["auto", "parquet", "jsonl", "csv", "tsv", "beir"] = "auto"
    """auto goes by the file name: .parquet, .jsonl/.ndjson, .csv, .tsv, each but parquet also .gz or .zst."""
    columns: ColumnsConfig = ColumnsConfig()
    """Column mapping."""
    title_separator: str = " "
    """Joins title and text; one blank is what BGE, E5 and the BEIR benchmark use."""
    max_reject_share: float = Field(default=0.01, ge=0, le=1)
    """Share of rejected rows (0 to 1) past which the run fails: a few bad rows are normal, many mean a wrong mapping."""
    broken_files: Literal["stop", "reject"] = "stop"
    """A file that breaks half-way stops the run, or gives up its remaining rows to the rejects. One that was replaced while it
    was read always stops the run: the next one reads it as it is."""


class ChunkingConfig(Section):
    """Long documents into passages. The passages of document `doc` are `doc#0`, `doc#1` ..., also where there is but one."""

    tokens: int = Field(ge=16)
    """Tokens of a passage at most, as the embedding model reads it: title, instruction and special tokens counted."""
    overlap: int = Field(default=0, ge=0)
    """Tokens at the end of a passage that the next one repeats, at most: whole sentences where they fit. 0 embeds no
    token twice."""
    unit_documents: int = Field(default=512, ge=1)
    """Documents of one work unit, in place of embed.unit_rows: about 10,000 passages where a document makes twenty."""

    @model_validator(mode="after")
    def _overlap_leaves_room(self) -> "ChunkingConfig":
        if self.overlap > self.tokens // 2:
            raise ValueError(f"overlap is {self.overlap} but tokens is only {self.tokens}: lower overlap to {self.tokens // 2}")
        return self


class CorpusConfig(InputConfig):
    """The documents, and how they become passages."""

    chunking: ChunkingConfig | None = None
    """How long documents are cut; none takes every record as one passage, whose tokens past the model's limit are not seen."""


class QueriesConfig(InputConfig):
    """The queries and, where known, their relevance judgements."""

    qrels: str | None = None
    """TSV of query, passage and grade (BEIR's header or trec_eval's four columns); none leaves the evaluation out."""
    only_judged: bool = False
    """Run just the queries that the qrels judge, as benchmarks do."""
    unit_rows: int = Field(default=128, ge=1)
    """Queries of one work unit: 128 with 100 candidates each are 12,800 pairs, seconds to minutes of reranking."""
