"""Small helpers, under pyzmq's names."""
