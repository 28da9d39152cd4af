"""Every normative sentence of RFC 28 to 31 is carried by a test: the list is closed, in both directions.

A test carries a sentence by its docstring: a line `RFC 28 REQ: SHALL ...`, or `RFC 29 PUB, XPUB: SHALL ...`
for two types at once. The table has the words by which each is found there. MAY is no obligation, but where
it says what a socket may be connected to or do, users rely on it, so it is here too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SENTENCES: dict[tuple[int, str], list[str]] = {
    (28, "REQ"): [
        "MAY be connected to any number of REP or ROUTER peers",
        "SHALL send and then receive exactly one message at a time",
        "a delimiter, consisting of an empty frame",
        "one or more data frames",
        "SHALL prefix the outgoing message with an empty delimiter frame",
        "SHALL route outgoing messages to connected peers using a round-robin",
        "SHALL block on sending, or return a suitable error, when it has no connected peers",
        "SHALL NOT discard messages that it cannot send to a connected peer",
        "SHALL accept an incoming message only from the last peer",
        "SHALL discard silently any messages received from other peers",
    ],
    (28, "REP"): [
        "MAY be connected to any number of REQ or DEALER peers",
        "SHALL not filter or modify outgoing or incoming messages",
        "SHALL receive and then send exactly one message at a time",
        "an address envelope consisting of zero or more frames",
        "a delimiter, consisting of an empty frame",
        "one or more data frames",
        "SHALL receive incoming messages from its peers using a fair-queuing strategy",
        "SHALL remove and store the address envelope",
        "SHALL pass the remaining data frames to its calling application",
        "SHALL wait for a single reply message from its calling application",
        "SHALL prepend the address envelope and delimiter",
        "SHALL deliver this message back to the originating peer",
        "SHALL silently discard the reply, or return an error",
        "SHALL not block on sending",
    ],
    (28, "DEALER"): [
        "MAY be connected to any number of REP or ROUTER peers",
        "SHALL not filter or modify outgoing or incoming messages",
        "SHALL maintain a double queue for each connected peer",
        "SHALL create a double queue when initiating an outgoing connection",
        "SHALL maintain the double queue whether or not the connection is established",
        "SHALL create a double queue when a peer connects to it",
        "SHALL destroy its double queue",
        "SHOULD constrain incoming and outgoing queue sizes",
        "SHALL consider a peer as available only when",
        "SHALL route outgoing messages to available peers using a round-robin",
        "SHALL block on sending, or return a suitable error, when it has no available peers",
        "SHALL not accept further messages when it has no available peers",
        "SHALL NOT discard messages that it cannot queue",
        "SHALL receive incoming messages from its peers using a fair-queuing strategy",
        "SHALL deliver these to its calling application",
    ],
    (28, "ROUTER"): [
        "MAY be connected to any number of REQ, DEALER, or ROUTER peers",
        "SHALL maintain a double queue for each connected peer",
        "SHALL create a double queue when initiating an outgoing connection",
        "SHALL maintain the double queue whether or not the connection is established",
        "SHALL create a double queue when a peer connects to it",
        "SHALL destroy its double queue",
        "SHALL identify each double queue using a unique",
        "SHOULD allow the peer to specify its identity explicitly",
        "SHOULD constrain incoming and outgoing queue sizes",
        "SHALL receive incoming messages from its peers using a fair-queuing strategy",
        "SHALL prefix each incoming message with a frame containing the identity",
        "SHALL deliver the resulting messages to its calling application",
        "SHALL remove the first frame from each outgoing message",
        "SHALL route the message to the outgoing queue if that queue exists, and has space",
        "SHALL either silently drop the message, or return an error",
        "SHALL NOT block on sending",
    ],
    # One word for what the RFC calls a double queue, a single outgoing message queue and so on, by type.
    (29, "PUB"): [
        "SHALL only send messages",
        "SHALL maintain a queue for each connected",
        "SHALL create a queue when initiating an outgoing connection",
        "SHALL maintain the queue whether or not the connection is established",
        "SHALL create a queue when a subscriber connects to it",
        "SHALL destroy its queue",
        "SHALL discard any messages it contains",
        "SHOULD constrain queue sizes",
        "SHALL silently discard any messages that subscribers send it",
        "SHALL not modify outgoing messages in any way",
        "MAY, depending on the transport, send messages only to subscribers",
        "SHALL perform a binary comparison of the subscription against the start",
        "SHALL silently drop the message if the queue for a subscriber is full",
        "SHALL NOT block on sending",
        "SHALL receive subscribe and unsubscribe requests",
        "SHALL NOT deliver these commands to its calling application",
    ],
    (29, "XPUB"): [
        "MAY be connected to any number of SUB or XSUB subscribers, and MAY both send and receive",
        "SHALL maintain a queue for each connected",
        "SHALL create a queue when initiating an outgoing connection",
        "SHALL maintain the queue whether or not the connection is established",
        "SHALL create a queue when a subscriber connects to it",
        "SHALL destroy its queue",
        "SHALL discard any messages it contains",
        "SHOULD constrain queue sizes",
        "SHALL not modify outgoing messages in any way",
        "MAY, depending on the transport, send messages only to subscribers",
        "SHALL perform a binary comparison of the subscription against the start",
        "SHALL silently drop the message if the queue for a subscriber is full",
        "SHALL NOT block on sending",
        "SHALL receive incoming messages from its subscribers using a fair-queuing strategy",
        "SHALL deliver these messages to its calling application",
        "SHALL receive subscribe and unsubscribe requests",
        "SHALL deliver these commands to its calling application",
        "MAY, depending on configuration, normalize commands",
        "SHALL, if the subscriber peer disconnects prematurely",
    ],
    (29, "SUB"): [
        "SHALL only receive messages",
        "SHALL maintain a queue for each connected",
        "SHALL create a queue when initiating an outgoing connection",
        "SHALL maintain the queue whether or not the connection is established",
        "SHALL create a queue when a publisher connects to it",
        "SHALL destroy its queue",
        "SHOULD constrain queue sizes",
        "SHALL silently discard messages if the queue for a publisher is full",
        "SHALL receive incoming messages from its publishers using a fair-queuing strategy",
        "SHALL not modify incoming messages in any way",
        "MAY, depending on the transport, filter messages according to subscriptions",
        "SHALL deliver messages to its calling application",
        "MAY send subscribe and unsubscribe requests",
    ],
    (29, "XSUB"): [
        "MAY be connected to any number of PUB or XPUB publishers, and MAY both send and receive",
        "SHALL maintain a queue for each connected",
        "SHALL create a queue when initiating an outgoing connection",
        "SHALL maintain the queue whether or not the connection is established",
        "SHALL create a queue when a publisher connects to it",
        "SHALL destroy its queue",
        "SHOULD constrain queue sizes",
        "SHALL not modify incoming messages in any way",
        "SHALL silently discard messages if the queue for a publisher is full",
        "SHALL receive incoming messages from its publishers using a fair-queuing strategy",
        "MAY, depending on the transport, filter messages according to subscriptions",
        "SHALL deliver messages to its calling application",
        "SHALL not modify outgoing messages in any way",
        "SHALL send all messages to all connected publishers",
        "SHALL silently drop the message if the outgoing queue for a publisher is full",
        "SHALL NOT block on sending",
        "SHALL accept subscription commands from its calling application",
        "SHALL send subscribe and unsubscribe requests to publishers",
        "SHOULD send unsubscribe requests for all",
    ],
    (30, "PUSH"): [
        "SHALL only send messages",
        "SHALL not filter or modify outgoing messages",
        "SHALL maintain an outgoing message queue for each connected peer",
        "SHALL create this queue when initiating an outgoing connection",
        "SHALL maintain the queue whether or not the connection is established",
        "SHALL create this queue when a peer connects to it",
        "SHALL destroy its queue",
        "SHOULD constrain queue sizes",
        "SHALL consider a peer as available only when",
        "SHALL route outgoing messages to available peers using a round-robin",
        "SHALL block on sending, or return a suitable error, when it has no available peers",
        "SHALL not accept further messages when it has no available peers",
        "SHALL NOT discard messages that it cannot queue",
    ],
    (30, "PULL"): [
        "SHALL only receive messages",
        "SHALL not filter or modify incoming messages",
        "SHALL maintain an incoming queue for each connected peer",
        "SHALL create this queue when initiating an outgoing connection",
        "SHALL maintain the queue whether or not the connection is established",
        "SHALL create this queue when a peer connects to it",
        "SHALL destroy its queue",
        "SHOULD constrain incoming queue sizes",
        "SHALL receive incoming messages from its peers using a fair-queuing strategy",
        "SHALL deliver these to its calling application",
    ],
    (31, "PAIR"): [
        "MAY be connected to at most one PAIR peers, and MAY both send and receive messages",
        "SHALL not filter or modify outgoing or incoming messages",
        "SHALL maintain a double queue for its peer",
        "SHALL create a double queue when initiating an outgoing connection",
        "SHALL maintain the double queue whether or not the connection is established",
        "SHALL create a double queue when a peer connects to it",
        "SHALL destroy its double queue",
        "SHOULD constrain incoming and outgoing queue sizes",
        "SHALL consider its peer as available only when",
        "SHALL block on sending, or return a suitable error, when it has no available peer",
        "SHALL not accept further messages when it has no available peer",
        "SHALL NOT discard messages that it cannot queue",
        "SHALL receive incoming messages from its single peer if it has one",
        "SHALL deliver these to its calling application",
    ],
}


def carried() -> Iterator[tuple[int, str, str, str]]:
    """RFC, type, sentence and test, for every sentence that a docstring of a spec test names."""
    for file in sorted(Path(__file__).parent.glob("test_spec_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for line in (ast.get_docstring(node) or "").splitlines():
                    if found := re.fullmatch(r"RFC (\d+) ([A-Z, ]+): (.+)", line):
                        number, types, sentence = found.groups()
                        for each in types.split(", "):
                            yield int(number), each, sentence, node.name


CARRIED = list(carried())


@pytest.mark.parametrize(
    ("rfc", "kind", "words"),
    [(rfc, kind, words) for (rfc, kind), all_words in SENTENCES.items() for words in all_words],
    ids=lambda value: str(value)[:50],
)
def test_sentence_is_carried_by_a_test(rfc, kind, words):
    tests = [
        test for number, of, sentence, test in CARRIED if (number, of) == (rfc, kind) and words in sentence
    ]
    assert tests, f'no test has the docstring "RFC {rfc} {kind}: ... {words} ..."'


def test_every_sentence_that_a_test_names_is_in_the_rfc():
    """A docstring whose sentence is in no line of the table has a slip of the pen in it."""
    unknown = []
    for rfc, kind, sentence, test in CARRIED:
        start = sentence.replace("[...]", "").strip(" .")
        if not any(words in sentence or words.startswith(start) for words in SENTENCES.get((rfc, kind), [])):
            unknown.append(f"{test}: RFC {rfc} {kind}: {sentence}")
    assert not unknown, "\n".join(unknown)
