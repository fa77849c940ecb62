"""Ray clusters of several nodes on this machine, for measurements and tests."""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

_NODE = {"num_cpus": 1, "object_store_memory": 100 * 1024 * 1024}


def apart(module: str, *arguments: str) -> list[str]:
    """The command that runs a module with a network and processes of its own.

    No port of Ray's is then anybody else's, and none of its processes outlives the command.
    """
    spaces = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    begin = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    return ["unshare", *spaces, *begin, sys.executable, "-m", module, *arguments]


@contextmanager
def nodes(count: int) -> Iterator["Cluster"]:
    """A cluster of nodes of one processor each, which asks for a token as a real one should.

    The first cannot be removed.
    """
    with TemporaryDirectory(prefix="ray-") as directory:
        # Where Ray notes its clusters, too: no other cluster of this machine is to be found there.
        os.environ.update(RAY_TMPDIR=directory, RAY_USAGE_STATS_ENABLED="0")
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex())
        from ray.cluster_utils import Cluster

        head = {**_NODE, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            for _ in range(1, count):
                cluster.add_node(**_NODE)
            yield cluster
        finally:
            cluster.shutdown()
