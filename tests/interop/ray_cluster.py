"""A Ray cluster of two nodes of one core each on loopback, for as long as standard input is open.

Its nodes are 127.0.0.2 and 127.0.0.3: what Ray is told of 127.0.0.1 it takes for an address of the network.
"""

import json
import os
import sys

NODES = ("127.0.0.2", "127.0.0.3")


def main() -> None:
    # Before Ray is imported: it tells nobody of itself.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    rows = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    cluster = Cluster()
    try:
        for number, node in enumerate(NODES):
            head = {} if number else {"include_dashboard": False}
            cluster.add_node(num_cpus=1, object_store_memory=80 * 1024 * 1024, node_ip_address=node, **head)
        print(json.dumps({"event": "up", "address": cluster.address}), file=rows, flush=True)
        sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
