"""What every config section is built of: frozen pydantic models whose fields say unit and reason; where the store and the workers are.

Fields marked `execution` change how fast a result is reached, or what is told of it, and never vectors, indexes or rankings:
fingerprints leave them out.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def execution(default: Any, **constraints: Any) -> Any:
    """A field that changes neither vectors nor indexes nor rankings, and therefore no fingerprint."""
    return Field(default=default, json_schema_extra={"execution": True}, **constraints)


def listed(value: Any) -> Any:
    """One text as a list of it, so that a single path needs no brackets."""
    return [value] if isinstance(value, str) else value


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("it is empty: give a path, or an s3:// address")
    return value


Place = Annotated[str, AfterValidator(_filled)]
Paths = Annotated[tuple[Place, ...], BeforeValidator(listed), Field(min_length=1)]


class Section(BaseModel):
    """A frozen config section that refuses unknown keys and keeps field docstrings."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class S3Config(Section):
    """How to reach S3. Credentials are never here: they come from the usual AWS chain (environment, profile, role)."""

    endpoint_url: str | None = execution(None, pattern=r"^https?://[^/]")
    """Address of an S3-compatible service, for example https://minio.example.com; none means AWS, or AWS_ENDPOINT_URL."""
    region: str | None = execution(None)
    """AWS region; none leaves it to AWS_REGION or the profile."""
    deadline_s: float = execution(120.0, gt=0)
    """Seconds that listing, opening and reading input files is retried before it is an error; outages shorter than this pass unnoticed."""


class StoreConfig(Section):
    """Where every artifact and commit record lives."""

    uri: Place = execution("data/store")
    """Folder (relative to the working directory) or s3://bucket/prefix. One store holds the index of one corpus."""
    unsafe_single_writer: bool = execution(False)
    """Accept a store that ignores conditional writes (If-None-Match). Then only one run may write at a time: of two commits of a unit the
    first wins by them."""
    deadline_s: float = execution(120.0, gt=0)
    """Seconds that one object operation is retried before it is an error; outages shorter than this pass unnoticed."""


class PoolConfig(Section):
    """A pool of Ray actors that share one kind of work."""

    min_size: int = execution(1, ge=1)
    """Actors kept at all times. Ray Data pools cannot go to zero."""
    max_size: int = execution(1, ge=1)
    """Actors at most; set it to the number of GPUs over `gpus`."""
    gpus: float = execution(1.0, ge=0)
    """GPUs for one actor (fractions share a GPU); ignored when the cluster has no GPU."""
    cpus: float = execution(1.0, gt=0)
    """Logical CPUs that one actor reserves in Ray."""
    threads: int = execution(0, ge=0)
    """Torch threads of one actor on CPU; 0 takes the driver's cores divided by max_size, so that a full pool has one for each core."""
    memory_gb: float = execution(0.0, ge=0)
    """Heap memory that one actor reserves in Ray, in GiB; 0 reserves none: CPUs and GPUs alone then say where it fits."""

    @model_validator(mode="after")
    def _min_within_max(self) -> "PoolConfig":
        if self.min_size > self.max_size:
            raise ValueError(f"min_size is {self.min_size} but max_size is only {self.max_size}: lower min_size or raise max_size")
        return self
