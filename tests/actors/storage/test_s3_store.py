"""What only S3 can get wrong: long listings, large objects, secrets, and settings that reach no bucket."""

import hashlib
import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import s3fs

from actors.storage.objects import probe
from actors.storage.s3_store import S3Store
from configs.errors import UserError
from configs.schema import S3Config

CHAIN = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE")


def refused(store):
    """The sentence of a probe that fails, and the seconds it took."""
    started = time.monotonic()
    with pytest.raises(UserError) as caught:
        probe(store, unsafe_single_writer=False)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence, time.monotonic() - started


def test_a_pickled_store_holds_no_credentials(s3_store, s3):
    store = s3_store()
    store.put("a", b"1")  # the client exists now
    pickled = pickle.dumps(store)
    assert s3.secret_key.encode() not in pickled and s3.access_key.encode() not in pickled


def test_a_listing_longer_than_a_page_is_complete(s3_store):
    store = s3_store()
    names = [f"many/{number:05d}" for number in range(1005)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: store.put(key, b""), names))
    assert [item.key for item in store.list("many/")] == names


def test_an_object_larger_than_one_request_arrives_whole(s3_store, tmp_path):
    s3fs.S3FileSystem.clear_instance_cache()
    store = s3_store()
    local = tmp_path / "large"
    local.write_bytes(b"0123456789abcdef" * (65 << 16))
    expected = hashlib.sha256(local.read_bytes()).hexdigest()
    store.upload(local, "data/large")
    assert not local.exists()
    assert hashlib.sha256(store.local_copy("data/large", tmp_path).read_bytes()).hexdigest() == expected


def test_a_wrong_secret_is_one_sentence_at_once(s3_store, s3, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    sentence, seconds = refused(s3_store())
    assert "s3://store/" in sentence and "access is refused (SignatureDoesNotMatch)" in sentence and "credentials" in sentence
    assert s3.secret_key not in sentence and seconds < 10


def test_missing_credentials_are_one_sentence_at_once(s3_store, monkeypatch, tmp_path):
    for name in CHAIN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    sentence, seconds = refused(s3_store())
    assert "no usable AWS credentials" in sentence and "AWS_PROFILE" in sentence and seconds < 10


def test_an_unknown_profile_is_one_sentence_at_once(s3_store, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    sentence, seconds = refused(s3_store())
    assert "nobody" in sentence and "no usable AWS credentials" in sentence and seconds < 10


def test_a_missing_bucket_is_one_sentence_at_once(s3_environment):
    sentence, seconds = refused(S3Store("s3://no-such-bucket/x", S3Config(), 20))
    assert "There is no bucket no-such-bucket" in sentence and "store.uri" in sentence and seconds < 10


def test_a_missing_bucket_is_no_empty_listing(s3_environment):
    with pytest.raises(UserError, match="There is no bucket no-such-bucket"):
        list(S3Store("s3://no-such-bucket/x", S3Config(), 20).list(""))


def test_an_endpoint_where_nobody_listens_is_one_sentence_after_the_deadline(s3_store):
    sentence, seconds = refused(s3_store("http://127.0.0.1:9", deadline_s=1))
    assert "s3://store/" in sentence and "http://127.0.0.1:9" in sentence and "s3.endpoint_url" in sentence and seconds < 10


def test_an_endpoint_that_is_no_address_is_one_sentence_at_once(s3_store, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "minio:9000")
    sentence, seconds = refused(s3_store())
    assert "Invalid endpoint: minio:9000" in sentence and "AWS_ENDPOINT_URL" in sentence and seconds < 10
