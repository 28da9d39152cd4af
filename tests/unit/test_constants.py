"""The constants against pyzmq's: the same classes, members, numbers, value types, reprs and flat names.

Knows    that the installed pyzmq is the oracle for everything but shmzmq's own options.
Refuses  to know what the numbers mean.
"""

from __future__ import annotations

import enum

import pytest
import zmq.constants as theirs

import shmzmq.constants as ours

ENUM_NAMES = [
    name
    for name in theirs.__all__
    if isinstance(getattr(theirs, name), enum.EnumMeta)
    and getattr(theirs, name).__module__ == theirs.__name__
]
FLAT_NAMES = [name for name in theirs.__all__ if isinstance(getattr(theirs, name), int)]
OWN_NUMBERS = {
    "SPIN_US": 1000,
    "IPC_FILE_MODE": 1001,
    "IPC_MODE": 1011,
    "IPC_TAKEOVER": 1003,
    "REDELIVER": 1004,
    "RING_BYTES": 1005,
    "HWM_BYTES": 1006,
    "IPC_STRICT": 1007,
    "OVERFLOW": 1008,
    "ARENA_MAX": 1009,
    "SHM_MAX": 1010,
}


def test_every_name_pyzmq_exports_is_exported():
    assert set(theirs.__all__) - set(ours.__all__) == set()


def test_exported_names_beyond_pyzmq_are_the_own_options_alone():
    assert set(ours.__all__) - set(theirs.__all__) == {"ShmEvent", "ShmOption", "Overflow", *OWN_NUMBERS}


def test_no_name_is_exported_twice():
    assert len(ours.__all__) == len(set(ours.__all__))


def test_every_exported_name_exists():
    assert [name for name in ours.__all__ if not hasattr(ours, name)] == []


def test_flat_names_have_the_numbers_reprs_and_strs_of_pyzmq():
    def shape(module):
        return {name: (int(v), repr(v), str(v)) for name in FLAT_NAMES for v in [getattr(module, name)]}

    assert shape(ours) == shape(theirs)


def test_flat_names_are_the_members_themselves():
    def member_of(name):
        oracle = getattr(theirs, name)
        return getattr(ours, type(oracle).__name__)[oracle.name]

    assert [name for name in FLAT_NAMES if getattr(ours, name) is not member_of(name)] == []


def test_there_are_enough_flat_names_to_be_all_of_them():
    assert len(FLAT_NAMES) > 200


@pytest.mark.parametrize("enum_name", ENUM_NAMES)
def test_enum_has_the_members_and_aliases_of_pyzmq_in_their_order(enum_name):
    mine, oracle = getattr(ours, enum_name), getattr(theirs, enum_name)

    def shape(cls):
        return [(name, member.name, int(member)) for name, member in cls.__members__.items()]

    assert shape(mine) == shape(oracle)


@pytest.mark.parametrize("enum_name", ENUM_NAMES)
def test_enum_has_the_bases_of_pyzmq(enum_name):
    mine, oracle = getattr(ours, enum_name), getattr(theirs, enum_name)
    assert mine.__mro__[1:] == oracle.__mro__[1:]


@pytest.mark.parametrize("enum_name", ["Event", "Flag", "PollEvent"])
@pytest.mark.parametrize("number", [0, 3, 5, 7, 1 << 20])
def test_flag_combination_has_the_repr_of_pyzmq(enum_name, number):
    mine, oracle = getattr(ours, enum_name)(number), getattr(theirs, enum_name)(number)
    assert (repr(mine), str(mine)) == (repr(oracle), str(oracle))


def test_socket_options_have_the_value_types_of_pyzmq():
    def shape(module):
        return {option.name: repr(option._opt_type) for option in module.SocketOption}

    assert shape(ours) == shape(theirs)


def test_value_types_are_those_of_pyzmq():
    assert [(t.name, t.value) for t in ours._OptType] == [(t.name, t.value) for t in theirs._OptType]


def test_enum_is_found_by_number():
    assert ours.SocketOption(5) is ours.IDENTITY


def test_own_options_have_their_numbers():
    assert {name: int(member) for name, member in ours.ShmOption.__members__.items()} == OWN_NUMBERS


def test_own_options_are_flat_names_too():
    assert all(getattr(ours, name) is member for name, member in ours.ShmOption.__members__.items())


def test_own_option_numbers_are_far_from_libzmq_s():
    assert max(theirs.SocketOption) < min(ours.ShmOption)
    assert min(ours.ShmOption) == 1000


def test_own_options_that_count_bytes_without_bound_are_64_bits_wide():
    wide = {option.name for option in ours.ShmOption if option._opt_type is ours._OptType.int64}
    assert wide == {"HWM_BYTES", "ARENA_MAX", "SHM_MAX"}
