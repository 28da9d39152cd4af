"""Mixed sizes for a long time: two senders, two receivers, kills, held frames; nothing torn, memory flat.

`actors.py` says what the processes do. One sender and one receiver are veterans: they live through the whole
run and must end as small as they were after the warm-up. The others are killed with SIGKILL every few
seconds and replaced. At every checkpoint the stage falls silent: senders pause, receivers take what is there
and let go of what they hold; then nothing may be lent, and all memory must be back at the first level.

    python tests/stress/mixed_sizes.py --seconds 3600 --report soak.json

See SCENARIOS.md for what a failure means.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import footprint
from actors import DEALER, NAMES, PUSH, RECORD

import shmzmq

MIB = 1 << 20
LARGEST = 64 * MIB
SHM_MAX = 640 * MIB  # of each process
HOLD_BYTES = 128 * MIB  # of each receiver
MOST_PSS = 3500 * MIB  # of all processes; beyond it the run ends before the machine does
SLACK = 64 * MIB  # between two levels of arenas
SLACK_OWN = 16 * MIB  # of memory that is not shared, once freed memory went back (`actors.give_back_freed`)

WORD_CAP = 30.0  # for an actor to answer a word
SETTLE_CAP = 30.0  # for the silent stage to be at its level
ENTER_CAP = 30.0
RESERVE = 3 * SETTLE_CAP  # what a run may take beyond its seconds


class Level(NamedTuple):
    """What there is while everything is silent."""

    shared: int  # bytes of segments
    arena_bytes: int
    anonymous: dict[str, int]  # of the veterans
    fds: dict[str, int]
    maps: dict[str, int]
    threads: dict[str, int]


class Player:
    """The stage's end of one actor."""

    def __init__(self, role: str, life: int, spec: dict[str, Any], directory: Path) -> None:
        self.role, self.life = role, life
        self.report: dict[str, Any] = {}
        self._errors = directory / f"{role}-{life}.err"
        self._heard = b""
        paths = [str(Path(shmzmq.__file__).parents[1]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("actors.py")), role, json.dumps(spec)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=os.environ
                | {
                    "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                    "SHMZMQ_SHM_MAX": str(SHM_MAX),
                },
            )

    @property
    def name(self) -> str:
        return f"{self.role} {self.life}"

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(word.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise AssertionError(self._obituary(word)) from None

    def hear(self, word: str, cap: float = WORD_CAP) -> dict[str, Any]:
        """The answer to `word`."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + cap
        while b"\n" not in self._heard:
            readable, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            if not readable:
                raise AssertionError(f"waited {cap:g} s for {self.name} to answer {word!r}: {self.report}")
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise AssertionError(self._obituary(word))
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        self.report = json.loads(line)
        return self.report

    def _obituary(self, word: str) -> str:
        status = self.process.wait(WORD_CAP)
        return f"{self.name} ended with {status} instead of answering {word!r}:\n{self.errors()}"

    def errors(self) -> str:
        return self._errors.read_text(errors="replace")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.bury()

    def bury(self) -> int:
        status = self.process.wait(WORD_CAP)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        return status


class Stage:
    """Everybody on it, what was counted, and the first level."""

    def __init__(self, directory: Path, seed: int, largest: int, say: Callable[[str], None]) -> None:
        self.directory, self.seed, self.largest, self.say = directory, seed, largest, say
        self.dice = random.Random(f"{seed} stage")
        self.players: dict[str, Player] = {}  # by place: "sender 0" is the veteran of the senders
        self.lives: list[Player] = []
        self.began = time.monotonic()
        self.counts: collections.Counter[str] = collections.Counter()  # of those who have gone
        self.most: collections.Counter[str] = collections.Counter()
        self.kills: collections.Counter[str] = collections.Counter()
        self.levels: list[Level] = []
        self.series: list[dict[str, int]] = []
        self.ended_well: dict[int, dict[str, int]] = {}  # life of a sender -> what it sent
        self.shared_before = footprint.system_shared()

    # --- who is on it --------------------------------------------------------------------------------------

    def endpoint(self, name: str, index: int) -> str:
        return f"ipc://{self.directory}/{name}-{index}"

    def endpoints(self, name: str) -> list[str]:
        return [self.endpoint(name, index) for index in range(2)]

    def enter(self, role: str, index: int) -> None:
        life = len(self.lives)
        spec: dict[str, Any] = {"life": life, "seed": self.seed, "largest": self.largest}
        spec["endpoints"] = {name: self.endpoints(name) for name in ("pull", "router", "pub")}
        if role == "sender":
            spec["binds"] = self.endpoint("pub", index)
        else:
            spec |= {"pull": self.endpoint("pull", index), "router": self.endpoint("router", index)}
            spec |= {"journal": str(self.directory / f"journal-{life}"), "hold_bytes": HOLD_BYTES}
        player = Player(role, life, spec, self.directory)
        self.lives.append(player)
        self.players[f"{role} {index}"] = player
        player.hear("enter", ENTER_CAP)

    def kill_one(self) -> None:
        place = self.dice.choice(("sender 1", "receiver 1"))
        victim = self.players.pop(place)
        self.retire(victim)
        victim.kill()
        self.kills[victim.role] += 1
        self.enter(victim.role, 1)

    def retire(self, player: Player) -> None:
        """Keep the counts of the last report of somebody who goes."""
        counts = dict(player.report["counts"])
        self.most["most held"] = max(self.most["most held"], counts.pop("most held", 0))
        self.counts.update(counts)

    def veterans(self) -> list[str]:
        return ["sender 0", "receiver 0"]

    # --- looking -------------------------------------------------------------------------------------------

    def ask(self, word: str) -> None:
        for player in self.players.values():
            player.tell(word)
        for player in self.players.values():
            player.hear(word)

    def footprints(self) -> dict[str, footprint.Footprint]:
        return {place: footprint.of(player.process.pid) for place, player in self.players.items()}

    def total(self, name: str) -> int:
        return sum(player.report["stats"].get(name, 0) for player in self.players.values())

    def look(self) -> None:
        """One sample of everything."""
        self.ask("report")
        prints = self.footprints()
        shmem = footprint.system_shared() - self.shared_before
        sample = {
            "seconds": int(time.monotonic() - self.began),
            "shared": footprint.together(list(prints.values())),
            "pss": sum(each.pss for each in prints.values()),
            "system shmem": shmem,
            "veterans anonymous": sum(prints[place].anonymous for place in self.veterans()),
            "fds": sum(each.fds for each in prints.values()),
            "held": sum(player.report.get("held", 0) for player in self.players.values()),
        }
        names = ("arena_bytes", "arena_lent", "loans", "depth")
        sample |= {name: self.total(name) for name in names}
        self.series.append(sample)
        for name, value in sample.items():
            self.most[name] = max(self.most[name], value)
        for player in self.players.values():
            arena = player.report["stats"].get("arena_bytes", 0)
            assert arena <= SHM_MAX, f"{player.name} has {arena} bytes of arenas, allowed were {SHM_MAX}"
        assert sample["pss"] <= MOST_PSS, (
            f"the run takes {sample['pss']} bytes, more than {MOST_PSS}: {sample}"
        )

    # --- silence -------------------------------------------------------------------------------------------

    def checkpoint(self, go_on: bool = True) -> None:
        """Fall silent, see everything given back, and compare with the first level."""
        self.ask("pause")
        self.wait(self.unsettled, "the silent stage to have nothing under way, held or lent")
        if not self.levels:
            self.levels.append(self.level())
        else:
            self.wait(self.beyond, "memory to be back at its level after the warm-up")
            self.levels.append(self.level())
        if go_on:
            self.ask("go")

    def wait(self, trouble: Callable[[], dict[str, Any]], what: str) -> None:
        deadline = time.monotonic() + SETTLE_CAP
        while found := trouble():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {SETTLE_CAP:g} s for {what}: {found}; kills {dict(self.kills)}")
            time.sleep(0.05)  # the distance between two looks

    def unsettled(self) -> dict[str, Any]:
        before = {player.name: player.report["counts"] for player in self.players.values()}
        self.ask("report")
        found: dict[str, Any] = {}
        for player in self.players.values():
            stats = player.report["stats"]
            busy = {name: stats[name] for name in ("depth", "arena_lent", "loans") if stats.get(name)}
            busy |= {name: player.report[name] for name in ("held", "held_bytes") if player.report.get(name)}
            if player.report["counts"] != before[player.name]:
                busy["counts"] = "still move"
            if busy:
                found[player.name] = busy
        return found

    def level(self) -> Level:
        prints = self.footprints()
        mine = {place: prints[place] for place in self.veterans()}
        return Level(
            shared=footprint.together(list(prints.values())),
            arena_bytes=self.total("arena_bytes"),
            anonymous={place: each.anonymous for place, each in mine.items()},
            fds={place: each.fds for place, each in mine.items()},
            maps={place: each.maps for place, each in mine.items()},
            threads={place: each.threads for place, each in mine.items()},
        )

    def beyond(self) -> dict[str, Any]:
        """What is there now beyond the first level."""
        self.ask("report")
        first, now = self.levels[0], self.level()
        found: dict[str, Any] = {}
        for name in ("shared", "arena_bytes"):
            then, this = getattr(first, name), getattr(now, name)
            if this > then + max(SLACK, then // 4):
                found[name] = (then, this)
        for name, slack in {"anonymous": SLACK_OWN, "fds": 2, "maps": 40, "threads": 0}.items():
            for place, this in getattr(now, name).items():
                then = getattr(first, name)[place]
                if this > then + slack:
                    found[f"{name} of {place}"] = (then, this)
        return found

    # --- the end -------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Everybody leaves by the door, senders first; then the journals are read."""
        for place in sorted(self.players, reverse=True):  # senders first
            player = self.players[place]
            player.tell("stop")
            self.retire(player)
            if player.role == "sender":
                self.ended_well[player.life] = player.report["sent"]
            player.hear("stop")
            status = player.bury()
            assert (status, player.errors()) == (0, ""), f"{player.name}: {status}\n{player.errors()}"
        self.players.clear()

    def expect_none_lost_or_twice(self) -> None:
        """By the journals: once each, but for one message in hand of each killed receiver."""
        received: dict[tuple[int, int], list[int]] = collections.defaultdict(list)
        for path in sorted(self.directory.glob("journal-*")):
            data = path.read_bytes()
            whole = len(data) - len(data) % RECORD.size
            for kind, sender, _receiver, number in RECORD.iter_unpack(data[:whole]):
                received[kind, sender].append(number)
        lost = 0
        for (kind, life), numbers in received.items():
            twice = [number for number, times in collections.Counter(numbers).items() if times > 1]
            assert not twice, f"{NAMES[kind]} of sender {life}: received twice: {twice[:10]}"
        for life, sent in self.ended_well.items():
            for kind in (PUSH, DEALER):
                numbers = received[kind, life]
                beyond = [number for number in numbers if number >= sent[NAMES[kind]]]
                assert not beyond, f"{NAMES[kind]} of sender {life}: received and never sent: {beyond[:10]}"
                gone = sorted(set(range(sent[NAMES[kind]])) - set(numbers))
                lost += len(gone)
                assert len(gone) <= self.kills["receiver"], (
                    f"{NAMES[kind]} of sender {life}: {len(gone)} of {sent[NAMES[kind]]} lost, but only "
                    f"{self.kills['receiver']} receivers were killed: {gone[:20]}"
                )
        self.counts["in hand of killed receivers"] = lost

    def dismiss(self) -> None:
        for player in self.players.values():
            player.kill()
        for name in ("pull", "router", "pub"):
            for index in range(2):
                self.directory.joinpath(f"{name}-{index}").unlink(missing_ok=True)

    def ledger(self) -> dict[str, Any]:
        every = max(1, len(self.series) // 600)
        return {
            "seed": self.seed,
            "seconds": round(time.monotonic() - self.began, 1),
            "largest": self.largest,
            "kills": dict(self.kills),
            "counts": dict(sorted(self.counts.items())),
            "most": dict(self.most),
            "levels": [level._asdict() for level in self.levels],
            "series": self.series[::every],
        }


# --- the run -----------------------------------------------------------------------------------------------


def run(
    seconds: float, seed: int, largest: int = LARGEST, report: str | None = None, say: Any = print
) -> dict[str, Any]:
    """Play for so many seconds; return the ledger. Raises AssertionError with the story of a failure.

    The ledger is written to `report` in any case.
    """
    say(f"mixed sizes: {seconds:g} s up to {largest} bytes, seed {seed}")
    with tempfile.TemporaryDirectory(prefix="soak", dir="/tmp") as directory:
        stage = Stage(Path(directory), seed, largest, say)
        try:
            play(stage, seconds)
            stage.end()
            stage.expect_none_lost_or_twice()
        finally:
            stage.dismiss()
            ledger = stage.ledger()
            if report:
                Path(report).write_text(json.dumps(ledger, indent=1) + "\n")
    return ledger


def play(stage: Stage, seconds: float) -> None:
    for index in range(2):
        stage.enter("receiver", index)
    for index in range(2):
        stage.enter("sender", index)
    begin = time.monotonic()
    end = begin + seconds
    next_level = begin + min(30.0, seconds / 4)
    next_kill = begin + stage.dice.uniform(1, 3)
    while (now := time.monotonic()) < end:
        stage.look()
        if now >= next_level:
            stage.checkpoint()
            next_level = time.monotonic() + max(10.0, seconds / 20)
        if time.monotonic() >= next_kill:
            stage.kill_one()
            next_kill = time.monotonic() + stage.dice.uniform(1, 4)
        time.sleep(0.25)  # the distance between two samples
    stage.checkpoint(go_on=False)


def table(ledger: dict[str, Any]) -> str:
    """The ledger in a few lines."""
    counts, most, levels = ledger["counts"], ledger["most"], ledger["levels"]
    lines = [f"seed {ledger['seed']}, {ledger['seconds']} s, kills {ledger['kills']}"]
    lines += [f"  {name:28} {value:>16,}" for name, value in counts.items()]
    lines += ["  at most"]
    lines += [f"  {name:28} {value:>16,}" for name, value in most.items()]
    for name in ("shared", "arena_bytes", "anonymous", "fds", "maps"):
        lines += [f"  level {name}: " + " ".join(str(level[name]) for level in (levels[0], levels[-1]))]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=0, help="0 takes one at random; SHMZMQ_SEED counts too")
    parser.add_argument("--largest", type=int, default=LARGEST, help="bytes of the largest body")
    parser.add_argument("--report", help="a file for the ledger")
    asked = parser.parse_args()
    seed = (
        asked.seed or int(os.environ.get("SHMZMQ_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
    )
    print(table(run(asked.seconds, seed, asked.largest, asked.report)))


if __name__ == "__main__":
    main()
