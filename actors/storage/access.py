"""Errors of file systems in, sentences that a user can act on out. Knows botocore's and s3fs's exception types, and no data."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    SSLError,
)

from configs.errors import UserError

_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, ProfileNotFound)
_CONNECTION = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError, SSLError)


def explain_access_error(uri: str, error: BaseException, outages: bool = True) -> UserError | None:
    """A sentence naming `uri` and the remedy if `error` or one of its causes is known, else None.

    `outages=False` leaves out connection failures, for callers that are retried by the system.
    """
    for link in _chain(error):
        sentence = _sentence(uri, link, outages)
        if sentence:
            return UserError(sentence)
    return None


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
    if isinstance(error, ClientError):
        return _by_status(uri, error)
    if isinstance(error, PermissionError):
        return _refused(uri, str(error))
    if isinstance(error, FileNotFoundError):
        return _absent(uri)
    return None


def _by_status(uri: str, error: ClientError) -> str | None:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    code = str(error.response.get("Error", {}).get("Code", ""))
    if status == 403 or code in ("403", "AccessDenied"):
        return _refused(uri, code)
    if status == 404 or code in ("404", "NoSuchBucket", "NoSuchKey"):
        return _absent(uri)
    return None


def _refused(uri: str, detail: str) -> str:
    if uri.startswith("s3://"):
        return f"{uri}: access is refused ({detail}): check the AWS credentials and that they may list and read this bucket."
    return f"{uri}: access is refused ({detail}): give this user permission to read it."


def _absent(uri: str) -> str:
    what = "the bucket and the prefix" if uri.startswith("s3://") else "the path"
    return f"{uri} does not exist: correct {what}."
