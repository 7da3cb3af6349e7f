"""The Ray cluster: joined where there is one, started privately where there is none. What it has, and what fits on it."""

import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from actors.machine import has_bf16
from configs.errors import UserError
from configs.schema import PoolConfig, RayConfig
from pipelines.termination import keep_handler

_STARTS = 3


@dataclass(frozen=True, slots=True)
class Cluster:
    """What Ray reports: logical CPUs, GPUs, heap memory in bytes, and whether this process started it."""

    cpus: float
    gpus: float
    memory: float
    private: bool


@contextmanager
def connected(config: RayConfig) -> Iterator[Cluster]:
    """Join the cluster of the config, of RAY_ADDRESS, or one this process already has; else start a private one."""
    joined_before = ray.is_initialized()
    address = config.address or os.environ.get("RAY_ADDRESS")
    if not joined_before:
        handler = signal.getsignal(signal.SIGTERM)
        _connect(config, address)
        keep_handler(handler)
    try:
        total = ray.cluster_resources()
        yield Cluster(total.get("CPU", 0.0), total.get("GPU", 0.0), total.get("memory", 0.0), private=not address)
    finally:
        if not joined_before:
            ray.shutdown()


def _connect(config: RayConfig, address: str | None) -> None:
    quiet: dict[str, Any] = {"log_to_driver": config.log_to_driver, "logging_level": "ERROR"}
    if not address:
        cpus = config.local_cpus or cores() + 6
        store = int(config.object_store_gb * (1 << 30))
        _guard_token()
        _start(num_cpus=cpus, object_store_memory=store, include_dashboard=False, **quiet)
        return
    try:
        ray.init(address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(
            f"Cannot join the Ray cluster at {address}: {error}. Start it, or leave ray.address and RAY_ADDRESS unset for a private one."
        ) from error


def _start(**options: Any) -> None:
    """A private Ray. Its 2.60 gives a node 30 s to come up, which a busy machine may not manage: it gets more tries.

    What a try had started ends with this process, as all of a private Ray does.
    """
    for left in reversed(range(_STARTS)):
        try:
            ray.init("local", **options)
            return
        except Exception as error:  # Ray has no narrower type for it
            if "timed out during startup" not in str(error):
                raise
            if not left:
                raise UserError(
                    f"Ray did not come up in {_STARTS} tries of 30 s: free processors and memory, or set ray.address to a cluster."
                ) from error


def _guard_token() -> None:
    """A token file that only this user can read; Ray 2.60 would make one for every user of the machine.

    Token authentication is Ray's default for private clusters, and they need it: they too listen on every interface.
    """
    elsewhere = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    if elsewhere or os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return
    file = Path.home() / ".ray" / "auth_token"
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not file.exists():
        whole = file.with_name(f"auth_token.{secrets.token_hex(4)}")
        with open(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            handle.write(secrets.token_hex(32))
        with suppress(FileExistsError):  # another run was first
            os.link(whole, file)
        whole.unlink()
    elif file.stat().st_mode & 0o077:
        file.chmod(0o600)


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0))


def on_gpu(device: str, cluster: Cluster) -> bool:
    """Whether actors of a pool get GPUs."""
    if device == "cuda" and not cluster.gpus:
        raise UserError("device is cuda but the Ray cluster has no GPU: use device auto or cpu, or add a GPU node.")
    return device != "cpu" and cluster.gpus > 0


def resolve_precision(precision: str, device: str, cluster: Cluster) -> str:
    """The precision class that fingerprints carry: auto is bf16 on GPUs and on CPUs that multiply it faster, else fp32."""
    if precision == "int8" and on_gpu(device, cluster):
        raise UserError("precision is int8, which is for CPUs, but the Ray cluster gives the model a GPU: use bf16, or device cpu.")
    if precision != "auto":
        return precision
    return "bf16" if on_gpu(device, cluster) or has_bf16() else "fp32"


def pool_threads(pool: PoolConfig) -> int:
    """Torch threads of one CPU actor."""
    return pool.threads or max(1, cores() // pool.max_size)
