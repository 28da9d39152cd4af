"""`shmzmq stats`: everything that is counted, for people or as JSON."""

import argparse
import json
from collections.abc import Iterator

from shmzmq._snapshot import PeerStats, SocketStats
from shmzmq.commands._failure import Failure
from shmzmq.commands._looking import add_who, processes
from shmzmq.counters import Process
from shmzmq.counters.rates import state_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `shmzmq stats` takes."""
    parser.description = (
        "All counters of one process of yours that uses shmzmq, or of all of them.\n"
        "Without --json counters that are 0 are left out.\n"
        "Exit code: 0 done, 1 there is no such process, 2 wrong usage."
    )
    add_who(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON array with an object per process")


def run(args: argparse.Namespace) -> int:
    """Print the counters. JSON of no process is an empty array, with the exit code that says so."""
    try:
        found = processes(args)
    except Failure:
        if args.json:
            print("[]")
        raise
    if args.json:
        print(json.dumps([process.as_dict() for process in found], indent=2))
    else:
        print("\n\n".join("\n".join(_text(process)) for process in found))
    return 0


def _text(process: Process) -> Iterator[str]:
    where = "" if process.is_near else ", in another pid namespace"
    yield f"process {process.pid}{where}: {process.program or '?'}"
    if process.problem:
        yield f"  {process.problem}"
    for number, context in enumerate(process.contexts, 1):
        yield f"  context {number}: {len(context['sockets'])} sockets, {context['peers']} peers"
        for socket in context["sockets"]:
            yield from _socket(process, socket)
    if process.sockets_left_out:
        yield f"  ({process.sockets_left_out} sockets found no room)"


def _socket(process: Process, socket: SocketStats) -> Iterator[str]:
    yield f"    {socket['type']} {socket['id']} {state_of(process, socket)}"
    for endpoint in socket["endpoints"]:
        yield f"      {endpoint['kind']} {endpoint['text']}"
    counted = {"depth": socket["depth"], "waiting": socket["waiting"], **socket["counters"]}
    shown = [f"{name} {value}" for name, value in counted.items() if value]
    for begin in range(0, len(shown), 4):
        yield "      " + ", ".join(shown[begin : begin + 4])
    for peer in socket["peers"]:
        yield "      " + _peer(peer)
    if socket["peers_left_out"]:
        yield f"      ({socket['peers_left_out']} peers found no room)"


def _peer(peer: PeerStats) -> str:
    who = f" pid {peer['pid']}" if peer["pid"] else ""
    name = f" id {peer['routing_id']}" if peer["routing_id"] else ""
    why = f" ({peer['reason']})" if peer["reason"] else ""
    traffic = f"{peer['messages_sent']} sent, {peer['messages_received']} received"
    more = "".join(
        f", {value} {text}"
        for text, value in (("deep", peer["depth"]), ("dropped", peer["dropped"]))
        if value
    )
    return (
        f"peer {peer['type'] or '?'} {peer['state']} by {peer['transport']}{why}{who}{name}: {traffic}{more}"
    )
