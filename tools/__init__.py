"""What keeps this repository true to itself; nothing of it is in the wheel."""
