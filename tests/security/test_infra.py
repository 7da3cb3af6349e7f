"""What infra/ starts: nobody is root, Ray asks for a token, no secret stands in a file, and KubeRay knows every field."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
# The CRDs are KubeRay's own files and not kept here: https://github.com/ray-project/kuberay, ray-operator/config/crd/bases.
CRDS = Path(os.environ.get("KUBERAY_CRDS", ROOT.parent / "shared" / "kuberay-crds"))
DOCUMENTS = [document for file in sorted(INFRA.glob("kuberay/*.yaml")) for document in yaml.safe_load_all(file.read_text("utf-8"))]
JOBS = {document["kind"]: document for document in DOCUMENTS if document["kind"].startswith("Ray")}
SECRET = re.compile(r"(secret|token|password|access_key)[a-z_]*[\"']?[ \t]*[:=][ \t]*[\"']?([A-Za-z0-9+/=_-]{12,})", re.IGNORECASE)


def job_spec(kind: str) -> dict[str, Any]:
    spec = JOBS[kind]["spec"]
    return spec["jobTemplate"] if kind == "RayCronJob" else spec


def pods(kind: str) -> list[dict[str, Any]]:
    """The pod templates of a job: submitter, head and workers."""
    job = job_spec(kind)
    cluster = job["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [job["submitterPodTemplate"], *(group["template"] for group in groups)]


def values(node: Any) -> Iterator[str]:
    """All texts in a document."""
    if isinstance(node, dict):
        node = [*node.keys(), *node.values()]
    if isinstance(node, list):
        for item in node:
            yield from values(item)
    else:
        yield str(node)


@pytest.mark.parametrize("kind", JOBS)
def test_every_pod_is_without_root_without_rights_and_without_a_key_to_kubernetes(kind):
    assert len(pods(kind)) == 3
    for pod in pods(kind):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True and spec["securityContext"]["runAsUser"] >= 10000
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"].keys() == container["resources"]["requests"].keys() >= {"cpu", "memory"}


@pytest.mark.parametrize("kind", JOBS)
def test_ray_asks_for_a_token_and_no_network_but_the_clusters_own_reaches_it(kind):
    cluster = job_spec(kind)["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP" and not cluster["headGroupSpec"].get("enableIngress")
    (policy,) = (document for document in DOCUMENTS if document["kind"] == "NetworkPolicy")
    assert policy["spec"]["podSelector"] == {} and policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    ours, operator = policy["spec"]["ingress"]
    labels = ours["from"][0]["podSelector"]["matchLabels"]
    assert all(labels.items() <= pod["metadata"]["labels"].items() for pod in pods(kind))
    assert "namespaceSelector" not in ours["from"][0] and [port["port"] for port in operator["ports"]] == [8265]
    assert all(document["metadata"]["namespace"] == policy["metadata"]["namespace"] for document in JOBS.values())


@pytest.mark.parametrize("kind", JOBS)
def test_a_lost_machine_has_time_to_end_its_work_and_a_lost_job_is_tried_again(kind):
    job = job_spec(kind)
    for pod in pods(kind)[1:]:
        drain = next(
            item["value"] for item in pod["spec"]["containers"][0]["env"] if item["name"] == "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
        )
        assert int(drain) < pod["spec"]["terminationGracePeriodSeconds"] < 120  # a spot machine's two minutes
    assert job["backoffLimit"] > 0


def test_the_nightly_job_re_indexes_on_the_cluster_that_the_single_run_has():
    run, nightly = job_spec("RayJob"), job_spec("RayCronJob")
    assert run["entrypoint"].startswith("raytrieve run ") and nightly["entrypoint"].startswith("raytrieve reindex ")
    for name in ("rayClusterSpec", "submitterPodTemplate"):
        assert run[name] == nightly[name]
    mounts = run["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    (folder,) = (mount["mountPath"] for mount in mounts if mount["name"] == "job")
    (files,) = (document["data"] for document in DOCUMENTS if document["kind"] == "ConfigMap")
    assert {run["entrypoint"].split()[-1], nightly["entrypoint"].split()[-1]} == {f"{folder}/{name}" for name in files}


@pytest.mark.skipif(not CRDS.is_dir(), reason="KubeRay's CRDs are not here: set KUBERAY_CRDS to their folder")
@pytest.mark.parametrize("kind", JOBS)
def test_kuberay_knows_every_field(kind):
    (file,) = CRDS.glob(f"*_{kind.lower()}s.yaml")
    crd = yaml.load(file.read_text("utf-8"), Loader=yaml.CSafeLoader)
    (version,) = (each for each in crd["spec"]["versions"] if f"ray.io/{each['name']}" == JOBS[kind]["apiVersion"] and each["served"])
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    known = jsonschema.Draft202012Validator(schema)
    assert [error.message for error in known.iter_errors(JOBS[kind])] == []
    (unknown,) = known.iter_errors({**JOBS[kind], "spec": {**JOBS[kind]["spec"], "concurrencyPolicy": "Forbid"}})
    assert "concurrencyPolicy" in unknown.message


def strict(schema: Any) -> Any:
    """A CRD's schema as JSON schema in which a field that is not listed is an error, as `kubectl --validate=strict` has it."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: strict(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string") is True:
        out = {"type": ["integer", "string"]}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        out.setdefault("additionalProperties", False)
    return out


def test_the_image_runs_pinned_packages_as_a_user_without_rights():
    text = (INFRA / "Dockerfile").read_text("utf-8")
    lines = re.sub(r"\\\n", " ", text).splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    assert [value for name, value in steps if name == "USER"][-1] == "10001:10001"
    assert all(value.startswith("python:${PYTHON}-") for name, value in steps if name == "FROM")
    assert all("--constraint infra/constraints.txt" in value for name, value in steps if name == "RUN" and "pip install" in value)
    assert "RAY_AUTH_MODE=token" in text and not any(name == "ADD" for name, _ in steps)
    copied = [value.split()[:-1] for name, value in steps if name == "COPY" and "--from" not in value]
    assert copied and all((ROOT / source).exists() for sources in copied for source in sources)
    kept = [line[1:] for line in (INFRA / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    assert {source for sources in copied for source in sources} == set(kept)


def test_the_composed_cluster_is_shut_in():
    (service,) = yaml.safe_load((INFRA / "compose.yaml").read_text("utf-8"))["services"].values()
    assert service["user"] == "10001:10001" and service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert "ports" not in service and "network_mode" not in service and "privileged" not in service
    assert "--dashboard-host=127.0.0.1" in service["entrypoint"]
    assert service["environment"]["RAY_AUTH_MODE"] == "token" and service["environment"]["RAY_AUTH_TOKEN"].startswith("${RAY_AUTH_TOKEN:?")
    assert all(value is None for name, value in service["environment"].items() if name.startswith("AWS_"))


def test_no_file_of_infra_holds_a_secret_or_turns_authentication_off():
    files = [file for file in INFRA.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    assert len(files) >= 7
    for file in files:
        text = file.read_text("utf-8")
        assert not SECRET.search(text), file
        assert not re.search(r"AUTH_MODE\W+disabled|mode: disabled", text), file
    assert SECRET.search("AWS_SECRET_ACCESS_KEY: wJalrXUtnFEMIK7MDENGbPxRfiCY") and SECRET.search('token="0123456789abcdef"')
    assert not any(document["kind"] == "Secret" for document in DOCUMENTS)


def test_only_the_head_that_kuberay_asks_has_a_dashboard_off_loopback():
    hosts = [job_spec(kind)["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["dashboard-host"] for kind in JOBS]
    assert [value for document in DOCUMENTS for value in values(document) if value == "0.0.0.0"] == hosts
