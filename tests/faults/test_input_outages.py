"""Input files on S3 behind a proxy through which nothing gets for a while."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from actors.corpus.listing import list_files
from actors.corpus.streams import open_source
from actors.storage.filesystems import read_file
from configs.errors import UserError
from configs.schema import InputConfig, S3Config
from tests.fault_proxy import Rule, faults

BODY = b'{"_id": "1", "text": "panda"}\n' * 1_000_000  # more than one block of a remote read


@pytest.fixture
def listed(s3_environment):
    client = s3_environment.client()
    client.put_object(Bucket="corpus", Key="outages/a.jsonl", Body=BODY)
    (file,) = list_files(InputConfig(path="s3://corpus/outages/"), S3Config(), "corpus")
    return file


def test_an_outage_while_a_file_is_read_is_not_noticed(s3, listed):
    with faults(s3.endpoint) as proxy:
        source = open_source(listed, S3Config(endpoint_url=proxy.endpoint))
        first = source.read(1000)
        proxy.rules.append(Rule("partition"))
        healed = threading.Timer(12, proxy.rules.clear)  # longer than the client's own five attempts
        healed.start()
        assert first + source.read() == BODY
        assert not proxy.rules, "it was read before the outage ended"
        healed.join()


@pytest.mark.parametrize("kind", ["truncate", "reset_after"])
def test_a_body_that_breaks_off_is_asked_for_again(kind, s3, listed):
    with faults(s3.endpoint) as proxy:
        there = S3Config(endpoint_url=proxy.endpoint)
        proxy.rules.append(Rule(kind, "GET", "outages/a.jsonl", count=2))
        assert read_file(listed.uri, there) == BODY
        assert proxy.rules[0].hits == 2
        proxy.rules[:] = [Rule(kind, "GET", "outages/a.jsonl", count=2)]
        assert open_source(listed, there).read() == BODY
        assert proxy.rules[0].hits == 2


def test_an_outage_past_the_deadline_is_an_error_in_good_time(s3, listed):
    with faults(s3.endpoint) as proxy:
        source = open_source(listed, S3Config(endpoint_url=proxy.endpoint, deadline_s=1))
        proxy.rules.append(Rule("partition"))
        started = time.monotonic()
        with pytest.raises(Exception, match=r"(?i)connect|endpoint|reset|closed|timeout"):
            source.read()
        assert time.monotonic() - started < 60 and source.failure is not None


@pytest.mark.chaos
@pytest.mark.parametrize("whole", [True, False], ids=["a folder", "a file"])
def test_an_outage_while_files_are_listed_is_not_noticed(whole, s3, listed):
    with faults(s3.endpoint) as proxy:
        proxy.rules.append(Rule("partition"))
        healed = threading.Timer(12, proxy.rules.clear)
        healed.start()
        path = "s3://corpus/outages/" if whole else listed.uri
        assert list_files(InputConfig(path=path), S3Config(endpoint_url=proxy.endpoint), "corpus") == [listed]
        assert not proxy.rules, "it was listed before the outage ended"
        healed.join()


@pytest.mark.chaos
def test_a_listing_that_breaks_off_is_an_error_and_never_a_shorter_list(s3, s3_environment):
    client = s3_environment.client()
    with ThreadPoolExecutor(8) as pool:  # more than one page of a listing
        list(pool.map(lambda i: client.put_object(Bucket="corpus", Key=f"paged/{i:04d}.jsonl", Body=b"{}"), range(1_001)))
    wanted = InputConfig(path="s3://corpus/paged/")
    with faults(s3.endpoint) as proxy:
        there = S3Config(endpoint_url=proxy.endpoint)
        assert len(list_files(wanted, there, "corpus")) == 1_001
        proxy.rules.append(Rule("slowdown", path="continuation-token"))
        with pytest.raises(UserError, match=r"s3://corpus/paged/: the S3 service fails .*injected"):
            list_files(wanted, there.model_copy(update={"deadline_s": 1}), "corpus")
        assert proxy.rules[0].hits > 1
