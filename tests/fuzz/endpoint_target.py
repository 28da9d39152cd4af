"""What must hold for any bytes given as an endpoint: parts that are the whole, or a documented refusal.

Knows    the contract of `shmzmq.endpoint.parse`: its docstring is where the errnos come from.
Refuses  to know where bytes come from (endpoint_engine.py, test_fuzz_targets.py) and the grammar itself:
         tests/unit/test_endpoint.py has that by hand.
"""

from __future__ import annotations

import errno
import re
from typing import get_args

from shmzmq import endpoint
from shmzmq.errors import ZMQError

DOCUMENTED = {
    getattr(errno, name) for name in re.findall(r"ZMQError (E[A-Z]+)", endpoint.parse.__doc__ or "")
}


def check(data: bytes) -> None:
    """Raises AssertionError when something does not hold, and whatever `parse` should not have raised."""
    said = outcome(data)
    text = data.decode("utf-8", "surrogateescape")
    assert said == outcome(text), "bytes and their str differ"
    if isinstance(said, endpoint.Endpoint):
        expect_whole(said, data)
    outcome(data.decode("utf-16-le", "surrogatepass") if len(data) % 2 == 0 else data.decode("latin-1"))


def outcome(text: bytes | str) -> endpoint.Endpoint | int:
    """The Endpoint, or the errno with which it was refused; 0 for a str that no bytes stand for."""
    try:
        return endpoint.parse(text)
    except UnicodeEncodeError:
        assert isinstance(text, str), "bytes cannot lack an encoding"
        assert any("\ud800" <= character <= "\udfff" for character in text)
        return 0
    except ZMQError as error:
        refused = error
    assert refused.errno in DOCUMENTED, f"{refused!r} is not documented"
    assert str(refused).isprintable(), "a refusal goes to a log"
    return refused.errno


def expect_whole(it: endpoint.Endpoint, data: bytes) -> None:
    """The parts are the whole, nothing was normalised away, and taking apart again changes nothing."""
    assert it.encoded == data
    assert f"{it.scheme}://{it.address}" == it.text
    assert it.encoded == it.scheme.encode() + b"://" + it.encoded_address
    assert it.scheme in endpoint.SERVED_SCHEMES
    assert it.kind in get_args(endpoint.Kind)
    assert b"\0" not in it.encoded
    assert endpoint.parse(it.encoded) == it == endpoint.parse(it.text)
    assert hash(it._replace()) == hash(it)
