"""What stands beside the pools of a stream grows with them, unless the config says how much."""

from actors.storage.objects import open_store
from configs.load import build_config
from configs.schema import PoolConfig, S3Config, StoreConfig
from pipelines.cluster import Cluster
from pipelines.embed import corpus_operators
from pipelines.events import EventLog
from pipelines.job import Job
from pipelines.operators import Operator
from pipelines.progress import Display
from pipelines.sizing import light_tasks, tokenizing_tasks
from tests.jobs import CHECKPOINTS


def _operators(folder, gpus, **embed) -> dict[str, Operator]:
    values = {"embed": {"model": str(CHECKPOINTS / "tiny-bge-en"), **embed}, "store": {"uri": str(folder)}, "corpus": {"path": "c.parquet"}}
    store = open_store(StoreConfig(uri=str(folder)), S3Config())
    job = Job(build_config(values, "a test"), store, Cluster(64, gpus, 1e12, private=False), "run", EventLog(store, "run"), Display())
    return {operator.worker.__name__: operator for operator in corpus_operators(job, job.place("vectors"))}


def test_one_encoder_has_two_that_read_two_that_write_and_four_that_tokenise(tmp_path):
    operators = _operators(tmp_path, gpus=0)
    assert [operators[name].tasks for name in ("Reader", "Tokenizer", "Writer")] == [2, 4, 2]


def test_sixteen_encoders_do_not_wait_for_two_writers(tmp_path):
    operators = _operators(tmp_path, gpus=0, workers={"max_size": 16})
    assert [operators[name].tasks for name in ("Reader", "Tokenizer", "Writer")] == [8, 8, 8]


def test_every_gpu_has_four_that_tokenise_for_it(tmp_path):
    operators = _operators(tmp_path, gpus=8, workers={"max_size": 16, "gpus": 0.5})
    assert operators["Tokenizer"].tasks == 32


def test_as_many_tokenise_as_the_config_says(tmp_path):
    operators = _operators(tmp_path, gpus=8, workers={"max_size": 16}, tokenizers=3)
    assert operators["Tokenizer"].tasks == 3


def test_the_widest_pool_of_a_stream_says_how_many_stand_beside_it():
    assert light_tasks(PoolConfig(max_size=2), PoolConfig(max_size=9), PoolConfig()) == 5


def test_one_reranker_has_two_that_tokenise_and_on_a_gpu_four():
    assert [tokenizing_tasks(PoolConfig(), gpus) for gpus in (0, 1)] == [2, 4]
