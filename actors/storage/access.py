"""Errors of file systems in, sentences that a user can act on out. Knows botocore's and s3fs's exception types, and no data."""

import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ChecksumError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    SSLError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from configs.errors import UserError

T = TypeVar("T")
_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, ProfileNotFound)
_CONNECTION = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError, SSLError)
_LOST = (HTTPClientError, BotoConnectionError, ConnectionError, TimeoutError)
_GARBLED = (IncompleteReadError, ChecksumError, FlexibleChecksumError)
_SERVICES = (MetadataRetrievalError, CredentialRetrievalError)
_BAD_TOKEN = ("403", "AccessDenied", "ExpiredToken", "InvalidToken", "TokenRefreshRequired")
_ELSEWHERE = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException")


def explain_access_error(uri: str, error: BaseException, outages: bool = True) -> UserError | None:
    """A sentence naming `uri` and the remedy if `error` or one of its causes is known, else None.

    `outages=False` leaves out connection failures and faults of the service, for callers that are retried by the system.
    """
    for link in _chain(error):
        sentence = _sentence(uri, link, outages)
        if sentence:
            return UserError(sentence)
    return None


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed a moment later: throttling, faults of the service, lost or garbled answers."""
    answer = error.__cause__ if isinstance(error, OSError) and isinstance(error.__cause__, ClientError) else error
    if not isinstance(answer, ClientError):
        return isinstance(answer, _LOST + _GARBLED + _SERVICES + _of_s3fs())
    status = http_status(answer)
    # 501 says that the service lacks the operation; RequestTimeout is S3's only transient 400.
    return status in (0, 408, 409, 429) or (status >= 500 and status != 501) or error_code(answer) == "RequestTimeout"


def _of_s3fs() -> tuple[type[Exception], ...]:
    """What s3fs itself would try again, bodies that broke off among it: its HTTP client has errors of its own.

    It is not loaded for it, which takes a third of a second in every worker: where it is not there, it has raised nothing.
    """
    loaded = sys.modules.get("s3fs.core")
    return loaded.S3_RETRYABLE_ERRORS if loaded else ()


def retried(operation: Callable[[], T], seconds: float) -> T:
    """The operation's result, tried again for so long while its errors are transient. Raises the last error; any other one at once."""
    end, pause = time.monotonic() + seconds, 0.1
    while True:
        try:
            return operation()
        except (ClientError, BotoCoreError, OSError, *_of_s3fs()) as error:
            if not is_transient(error) or time.monotonic() + pause > end:
                raise
        time.sleep(random.uniform(0, pause))
        pause = min(2 * pause, 5.0)


def http_status(error: ClientError) -> int:
    """Status of the answer, 0 if it has none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def error_code(error: ClientError) -> str:
    """S3's name for the error, such as NoSuchBucket."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def explained(uri: str, outages: bool = True) -> Iterator[None]:
    """Turns access errors inside the block into UserError; every other exception passes as it is."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        known = explain_access_error(uri, error, outages)
        if known is None:
            raise
        raise known from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _sentence(uri: str, error: BaseException, outages: bool) -> str | None:
    if isinstance(error, _CREDENTIALS):
        return f"{uri}: no usable AWS credentials ({error}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role."
    if isinstance(error, _CONNECTION):
        return f"{uri}: the S3 service cannot be reached ({error}): check s3.endpoint_url and the network." if outages else None
    if outages and is_transient(error):
        return f"{uri}: the S3 service fails ({error}): the same command goes on when it is well; check the network too."
    if isinstance(error, ClientError):
        return _by_status(uri, error)
    if isinstance(error, PermissionError):
        return _refused(uri, str(error))
    if isinstance(error, FileNotFoundError):
        return _absent(uri)
    return None


def _by_status(uri: str, error: ClientError) -> str | None:
    status, code = http_status(error), error_code(error)
    if code in _ELSEWHERE:
        return f"{uri}: the bucket is in another region ({code}): set s3.region or AWS_REGION to the bucket's."
    if status in (401, 403) or code in _BAD_TOKEN:
        return _refused(uri, code)
    if status == 404 or code in ("404", "NoSuchBucket", "NoSuchKey"):
        return _absent(uri)
    return None


def _refused(uri: str, detail: str) -> str:
    if uri.startswith("s3://"):
        return f"{uri}: access is refused ({detail}): check the AWS credentials and what they may do in this bucket."
    return f"{uri}: access is refused ({detail}): give this user permission to read it."


def _absent(uri: str) -> str:
    what = "the bucket and the prefix" if uri.startswith("s3://") else "the path"
    return f"{uri} does not exist: correct {what}."
