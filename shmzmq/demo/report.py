"""The result of a run as text for people and as JSON for programs."""

import json

from shmzmq.demo.run import DemoResult


def as_text(result: DemoResult, top: int) -> str:
    tally, rate = result.tally, result.per_second
    lines = [f"{word:<20}{count:>12,}" for word, count in tally.words.most_common(top)]
    lines += [""] if lines else []
    lines.append(
        f"corpus: {_some(tally.files, 'file')}, {_megabytes(tally.size)}, "
        f"{_some(tally.words.total(), 'word')}, {len(tally.words):,} of them different"
    )
    if tally.unreadable or tally.not_text:
        lines.append(f"skipped: {tally.not_text:,} not UTF-8 text, {tally.unreadable:,} unreadable")
    lines.append(f"time: {result.seconds:.2f} s with {_some(result.workers, 'worker process', 'es')}")
    lines.append(
        f"rate: {rate(tally.files):,.0f} files/s, {_megabytes(rate(tally.size))}/s, "
        f"{rate(result.messages):,.0f} messages/s"
    )
    return "\n".join(lines + _check_lines(result))


def _some(count: int, noun: str, plural: str = "s") -> str:
    return f"{count:,} {noun}{'' if count == 1 else plural}"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"


def _check_lines(result: DemoResult) -> list[str]:
    if result.plain is None:
        return []
    lines = [f"plain: {result.plain_seconds:.2f} s for the same count in one process without messages"]
    if result.equal:
        return [*lines, "check: equal"]
    lines.append("check: DIFFERENT (workers against plain)")
    lines += [f"  {line}" for line in result.tally.differences(result.plain)]
    if (result.tally.files, result.tally.size) != (result.plain.files, result.plain.size):
        lines.append("  (the two counts read different bytes: were files written or removed meanwhile?)")
    return lines


def as_json(result: DemoResult, top: int) -> str:
    tally, rate = result.tally, result.per_second
    verdict = {None: "skipped", True: "equal", False: "different"}[result.equal]
    return json.dumps(
        {
            "files": tally.files,
            "bytes": tally.size,
            "words": tally.words.total(),
            "different_words": len(tally.words),
            "skipped_not_text": tally.not_text,
            "skipped_unreadable": tally.unreadable,
            "workers": result.workers,
            "messages": result.messages,
            "seconds": result.seconds,
            "files_per_second": rate(tally.files),
            "bytes_per_second": rate(tally.size),
            "messages_per_second": rate(result.messages),
            "plain_seconds": None if result.plain is None else result.plain_seconds,
            "check": verdict,
            "differences": [] if result.plain is None else tally.differences(result.plain),
            "top": tally.words.most_common(top),
        },
        indent=2,
    )
