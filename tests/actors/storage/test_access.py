"""Errors of S3 and of the disk become sentences; unknown ones do not."""

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from actors.storage.access import explain_access_error, explained
from configs.errors import UserError

URI = "s3://bucket/corpus"


def client_error(status, code):
    return ClientError({"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}, "ListObjectsV2")  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (NoCredentialsError(), "AWS_ACCESS_KEY_ID"),
        (EndpointConnectionError(endpoint_url="http://x"), "s3.endpoint_url"),
        (client_error(403, "AccessDenied"), "access is refused"),
        (client_error(404, "NoSuchBucket"), "the bucket and the prefix"),
        (PermissionError("Forbidden"), "access is refused"),
        (FileNotFoundError("x"), "does not exist"),
    ],
)
def test_a_known_error_names_the_uri_and_the_remedy(error, remedy):
    sentence = str(explain_access_error(URI, error))
    assert URI in sentence and remedy in sentence


def test_the_cause_of_an_error_is_looked_at():
    with pytest.raises(UserError, match="no usable AWS credentials"), explained(URI):
        try:
            raise NoCredentialsError()
        except NoCredentialsError as error:
            raise RuntimeError("wrapped") from error


def test_a_fault_of_the_service_is_told_unless_the_caller_is_retried():
    for error in (client_error(503, "SlowDown"), ConnectionResetError("by peer")):
        assert str(explain_access_error(URI, error)).startswith(f"{URI}: the S3 service fails (")
        assert explain_access_error(URI, error, outages=False) is None


def test_an_unknown_error_passes_as_it_is():
    assert explain_access_error(URI, client_error(400, "InvalidArgument")) is None
    with pytest.raises(OSError, match="disk on fire"), explained(URI):
        raise OSError(5, "disk on fire")


def test_an_outage_is_left_to_the_retries_of_a_worker():
    with pytest.raises(EndpointConnectionError), explained(URI, outages=False):
        raise EndpointConnectionError(endpoint_url="http://x")
