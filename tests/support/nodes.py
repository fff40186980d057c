"""Ray nodes as processes of this machine, on loopback: started and killed by lines on stdin.

python nodes.py DASHBOARD_PORT CPUS_OF_HEAD CPUS_OF_ANOTHER ...
Answers each line (`kill INDEX`, `add CPUS`) with one line of JSON, and ends with its stdin.
"""

import json
import sys
from typing import Any

import psutil
from ray.cluster_utils import Cluster


def main() -> None:
    port, head_cpus, *others = map(int, sys.argv[1:])
    head = {
        "num_cpus": head_cpus,
        "include_dashboard": True,
        "dashboard_host": "127.0.0.1",
        "dashboard_port": port,
        "dashboard_agent_listen_port": 0,
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = [cluster.head_node, *(cluster.add_node(num_cpus=cpus) for cpus in others)]
    say(address=cluster.address, nodes=[name(node) for node in nodes])
    for line in sys.stdin:
        word, number = line.split()
        if word == "kill":
            kill(cluster, nodes[int(number)])
            say(killed=int(number))
        else:
            nodes.append(cluster.add_node(num_cpus=int(number)))
            say(nodes=[name(node) for node in nodes])
    cluster.shutdown()  # type: ignore[no-untyped-call]


def kill(cluster: Cluster, node: Any) -> None:
    """As a machine that loses its power: the raylet and all its workers at once."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    workers = raylet.children(recursive=True)
    cluster.remove_node(node, allow_graceful=False)
    for process in workers:
        if process.is_running():
            process.kill()


def name(node: Any) -> dict[str, Any]:
    """To find a node's processes by."""
    return {"id": node.node_id, "raylet": node.all_processes["raylet"][0].process.pid}


def say(**answer: Any) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
