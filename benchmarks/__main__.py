"""`python -m benchmarks`.

Every spawned child imports this file again, so it imports nothing before it knows that it is the parent.
"""

if __name__ == "__main__":
    import sys

    from benchmarks.command import main

    try:
        raise SystemExit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
