"""What several files share: a flow from one socket to another, and publish-subscribe with all tuned in."""

from __future__ import annotations

import pytest

from kit import subscribe, tune_in

PUBLISHERS = ("PUB", "XPUB")
SUBSCRIBERS = ("SUB", "XSUB")


@pytest.fixture
def flow(zmq, sockets, endpoint):
    """A PUSH connected to a bound PULL."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    return push, pull


@pytest.fixture(params=PUBLISHERS)
def publisher_type(zmq, request):
    """PUB, then XPUB."""
    return getattr(zmq, request.param)


@pytest.fixture(params=SUBSCRIBERS)
def subscriber_type(zmq, request):
    """SUB, then XSUB."""
    return getattr(zmq, request.param)


@pytest.fixture
def air(zmq, sockets, endpoint, publisher_type, subscriber_type):
    """A function that gives a bound publisher and connected subscribers, one per tuple of topics, [...]"""

    def build(*topics_of_each, publisher_options=None, subscriber_options=None):
        publisher = sockets(publisher_type, **(publisher_options or {}))
        publisher.bind(endpoint)
        subscribers = []
        for topics in topics_of_each:
            subscriber = sockets(subscriber_type, **(subscriber_options or {}))
            subscriber.connect(endpoint)
            for topic in topics:
                subscribe(subscriber, topic)
            subscribers.append(subscriber)
        tune_in(publisher, *subscribers)
        return publisher, *subscribers

    return build
