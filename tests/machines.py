"""Other machines, on this one: an S3 server, and a Ray cluster of nodes that can be killed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inversynth.dataset.engines import STORE_BYTES

NODE = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
HEALTH = {"initial_delay_ms": 0, "period_ms": 500, "failure_threshold": 3}
"""A node that is silent for a second and a half is dead."""


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """The URL of a bucket; the environment says where the server is, and who is asking."""
    s3fs = pytest.importorskip("s3fs", reason="needs the extra `remote`")
    pytest.importorskip("flask_cors", reason="needs the extra `dev`")
    moto = pytest.importorskip("moto.server", reason="needs the extra `dev`")
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        s3fs.S3FileSystem().mkdir("bucket")
        try:
            yield "s3://bucket"
        finally:
            server.stop()


@contextlib.contextmanager
def ray_cluster(nodes: int) -> Iterator[Any]:
    """Nodes of processes of their own, each of one CPU, whose workers find the modules of the tests."""
    utils = pytest.importorskip("ray.cluster_utils", reason="needs the extra `ray`")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        tests = Path(__file__).parent
        patch.setenv("PYTHONPATH", f"{tests}:{tests / 'dataset'}", prepend=":")
        health = {f"health_check_{name}": value for name, value in HEALTH.items()}
        cluster = utils.Cluster(initialize_head=True, head_node_args={**NODE, "_system_config": health})
        try:
            for _ in range(nodes - 1):
                cluster.add_node(**NODE)
            yield cluster
        finally:
            cluster.shutdown()


def killed(node: Any, when: Callable[[set[int]], bool]) -> set[int]:
    """SIGKILL for every process of a node, as when its power goes, in a moment of which `when` holds.

    `when` gets the numbers of the node's workers, which stand still while it looks. Returns them if they were
    killed, else none.
    """
    psutil = pytest.importorskip("psutil", reason="comes with Ray")
    own = [psutil.Process(one.process.pid) for processes in node.all_processes.values() for one in processes]
    family = [process for parent in own for process in parent.children(recursive=True)]
    for process in [*own, *family]:
        process.suspend()
    workers = {process.pid for process in family}
    now = when(workers)
    for process in [*own, *family]:
        process.kill() if now else process.resume()
    return workers if now else set()
