"""Re-indexing on S3 through a proxy that fails: each new text is embedded once, and files that did not change are not read."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.storage.manifests import version_numbers
from actors.storage.objects import open_store
from tests.fault_proxy import Rule, faults
from tests.faults.outcomes import IN_HAND, SEED, Change, tokens_embedded, wait_for
from tests.faults.weather import away, begun, schedule, storm, under
from tests.jobs import raytrieve, tiny_settings, tokens_of, write_config

pytestmark = [pytest.mark.cluster, pytest.mark.chaos]


@pytest.mark.parametrize("weather", ["5 % of requests fail", "S3 is away for 60 s"])
def test_a_reindex_in_bad_weather_embeds_each_new_text_once(weather, job, inputs, s3, tally):
    store, change, data = open_store(job.config.store, job.config.s3), Change.of(inputs), io.BytesIO()
    job.finish(job.start("reindex"))
    calm, before = len(job.proxy.log), tokens_embedded(store)
    pq.write_table(pa.Table.from_pylist(change.rows), data, row_group_size=100)
    s3.client().put_object(Bucket="corpus", Key=job.corpus, Body=data.getvalue())
    if weather == "5 % of requests fail":
        job.proxy.rules[:] = storm()
        process = job.start("reindex")
    else:
        units, process = begun(store), job.start("reindex")
        wait_for(lambda: begun(store) > units, process)
        with away(job.proxy, 60):
            pass
    job.finish(process)
    tally(f"{weather}, in a re-index ({len(job.proxy.log) - calm} requests)", job.struck, job.outcome(change.ids), 0)
    assert tokens_embedded(store) - before == tokens_of(job.config, change.texts)


def test_a_random_schedule_of_faults_in_a_reindex_loses_nothing(job, inputs, s3, tally):
    store, change, data = open_store(job.config.store, job.config.s3), Change.of(inputs, edits=440), io.BytesIO()
    job.finish(job.start("reindex"))
    before = tokens_embedded(store)
    pq.write_table(pa.Table.from_pylist(change.rows), data, row_group_size=100)
    s3.client().put_object(Bucket="corpus", Key=job.corpus, Body=data.getvalue())
    job.proxy.rules[:] = storm()
    process, done = under(schedule(SEED), job, "reindex")
    job.finish(process)
    told = f"a re-index, seed {SEED}: {', '.join(map(str, done))}, and 5 % of requests"
    tally(told, job.struck + len(done), job.outcome(change.ids), IN_HAND["reindex"] * len(done))
    assert len(done) >= 2, "the job was done before the weather began"
    assert tokens_embedded(store) - before == tokens_of(job.config, change.texts)


def test_a_listing_that_fails_stops_a_reindex_before_it_publishes(job, tmp_path):
    store = open_store(job.config.store, job.config.s3)
    job.settings["corpus"]["path"] = f"s3://corpus/{job.corpus.replace('corpus.parquet', 'corp*.parquet')}"
    job.settings["s3"] = {"deadline_s": 5}
    path, through_proxy = str(write_config(tmp_path / "listed.yaml", {**job.settings, "queries": None, "rerank": None})), job.through_proxy
    assert raytrieve("reindex", path, env=through_proxy).returncode == 0
    job.proxy.rules[:] = [failing := Rule("slowdown", method="GET", path=r"^/corpus/?\?")]
    done = raytrieve("reindex", path, env=through_proxy)
    assert failing.hits and done.returncode == 2, done.stderr
    told = done.stderr.splitlines()[-1]
    assert told.startswith("raytrieve: s3://corpus/") and "the S3 service fails" in told and "Traceback" not in done.stderr
    assert version_numbers(store) == [1]


def test_a_reindex_on_s3_reads_only_the_files_that_changed(s3_environment, inputs, tmp_path):
    rows, client, name = pq.read_table(inputs / "corpus.parquet").to_pylist(), s3_environment.client(), "unread"

    def put(number: int, part: list[dict]) -> None:
        data = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(part), data)
        client.put_object(Bucket="corpus", Key=f"{name}/{number}.parquet", Body=data.getvalue())

    for number in range(3):
        put(number, rows[number * 200 : (number + 1) * 200])
    settings = tiny_settings(f"s3://corpus/{name}", f"s3://store/{name}", corpus={"path": f"s3://corpus/{name}"}, rerank=None)
    path = str(write_config(tmp_path / "job.yaml", {**settings, "queries": None}))
    with faults(s3_environment.endpoint) as proxy:
        through_proxy = {**s3_environment.environment, "AWS_ENDPOINT_URL": proxy.endpoint}
        assert raytrieve("reindex", path, env=through_proxy).returncode == 0
        before = len(proxy.log)
        put(1, [{**row, "text": f"revised {row['text']}"} for row in rows[200:210]] + rows[210:400])
        assert raytrieve("reindex", path, env=through_proxy).returncode == 0
        got = {seen.path.partition("?")[0] for seen in proxy.log[before:] if seen.method == "GET"}
    assert {path for path in got if path.endswith(".parquet") and path.startswith("/corpus/")} == {f"/corpus/{name}/1.parquet"}
