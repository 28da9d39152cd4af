"""Small helpers, under pyzmq's names."""

from . import interop, jsonapi

__all__ = ["interop", "jsonapi"]
