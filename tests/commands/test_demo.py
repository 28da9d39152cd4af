"""The command `shmzmq` and its main job, run as a user runs them: real processes, real files, real kills."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

from shell import CAP_SECONDS, running, shmzmq, unread
from shmzmq import demo
from shmzmq.__main__ import main


def until(condition, what):
    """Poll until the condition gives something true, and return that."""
    deadline = time.monotonic() + CAP_SECONDS
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.005)
    pytest.fail(f"waited {CAP_SECONDS} s for {what}")


@pytest.fixture
def all_go_home():
    """Whoever the test starts has gone at its end; children of others, which come and go, do not matter."""
    others = set(multiprocessing.active_children())
    yield
    assert set(multiprocessing.active_children()) <= others


def expect_no_traceback(done):
    assert "Traceback" not in done.stderr


@pytest.fixture
def corpus(tmp_path):
    """A small corpus with the files that trip up counters."""
    folder = tmp_path / "corpus"
    (folder / "deep").mkdir(parents=True)
    (folder / "plain.txt").write_text("one two two three three three\n")
    (folder / "deep" / "größe.txt").write_text("Größe größe 漢字 naïve_two\n", encoding="utf-8")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "binary.bin").write_bytes(b"two\0two")
    (folder / "latin1.txt").write_bytes("größe".encode("latin-1"))
    (folder / ".hidden").write_text("hidden")
    os.mkfifo(folder / "pipe")
    return folder


WORDS = Counter({"three": 3, "two": 3, "größe": 2, "one": 1, "漢字": 1, "naïve": 1})


@pytest.fixture
def big_corpus(tmp_path):
    """Enough work to be still under way when something is killed."""
    folder = tmp_path / "big"
    folder.mkdir()
    text = " ".join(f"word{number % 997:x}" for number in range(50_000))
    for number in range(100):
        (folder / f"{number}.txt").write_text(text)
    return folder


@pytest.fixture
def private_tmp():
    """A temporary directory short enough for ipc paths; the test fails when something stays in it."""
    with tempfile.TemporaryDirectory(prefix="cli-") as folder:
        yield {**os.environ, "TMPDIR": folder}
        assert os.listdir(folder) == []


# ------------------------------------------------------------------------------------------ counting


def test_words_are_runs_of_letters_in_lower_case():
    assert demo.count_words("Größe, GRÖSSE_x 3rd don't") == Counter(
        {"größe": 1, "grösse": 1, "x": 1, "rd": 1, "don": 1, "t": 1}
    )


def test_tally_survives_its_journey_as_a_frame():
    tally = demo.Tally(Counter({"größe": 2}), files=3, size=40, unreadable=5, not_text=6)
    assert demo.Tally.unpack(tally.pack()) == tally


def test_differences_name_what_differs_and_by_how_much():
    ours = demo.Tally(Counter({"a": 1, "b": 2}), files=1, size=10)
    theirs = demo.Tally(Counter({"a": 1, "b": 3}), files=2, size=10)
    assert ours.differences(theirs) == ["files: 1 against 2", "word 'b': 2 against 3"]


def test_differences_are_cut_short_with_the_number_of_the_rest():
    ours = demo.Tally(Counter(f"w{letter}" for letter in "abcdefgh"))
    assert ours.differences(demo.Tally(), limit=2)[-1] == "and 6 more words"


def test_directory_is_read_in_order_without_hidden_files_and_pipes(corpus):
    names = [file.name for file in demo.find_files([corpus])]
    assert names == ["binary.bin", "empty.txt", "latin1.txt", "plain.txt", "größe.txt"]


def test_default_corpus_is_the_standard_library_without_installed_packages():
    files = demo.find_files()
    assert Path(json.__file__) in files
    assert not [file for file in files if "site-packages" in file.parts or file.suffix != ".py"]


@pytest.mark.parametrize("batch_bytes", [1, 20, demo.BATCH_BYTES])
@pytest.mark.slow
def test_every_division_into_batches_gives_the_same_count(corpus, batch_bytes):
    result = demo.run_demo([corpus], workers=2, batch_bytes=batch_bytes)
    assert result.tally.words == WORDS
    assert (result.tally.files, result.tally.not_text, result.tally.unreadable) == (3, 2, 0)
    assert result.equal


@pytest.mark.slow
def test_more_workers_than_files_all_go_home(tmp_path, all_go_home):
    (tmp_path / "only.txt").write_text("alone")
    result = demo.run_demo([tmp_path / "only.txt"], workers=6)
    assert result.equal
    assert result.messages == 2


@pytest.mark.slow
def test_corpus_without_a_single_readable_file_is_counted_as_nothing(tmp_path):
    (tmp_path / "binary").write_bytes(b"\0")
    result = demo.run_demo([tmp_path], workers=1)
    assert (result.tally.words, result.tally.not_text, result.messages) == (Counter(), 1, 0)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that even root cannot read")
def test_unreadable_file_is_skipped_and_counted(corpus):
    result = demo.run_demo([corpus, "/proc/self/mem"], workers=1)
    assert result.tally.unreadable == 1
    assert result.tally.words == WORDS


@pytest.mark.slow
def test_progress_ends_with_every_file_in_both_stages(corpus):
    calls = []
    demo.run_demo([corpus], workers=2, batch_bytes=1, progress=lambda *call: calls.append(call))
    assert ("counting", 5, 5) in calls
    assert calls[-1] == ("checking", 5, 5)


def test_demo_without_workers_is_refused_before_anything_starts(corpus, all_go_home):
    with pytest.raises(ValueError, match="workers=0"):
        demo.run_demo([corpus], workers=0)


# --------------------------------------------------------------------------------------- the command


@pytest.mark.slow
def test_demo_shows_words_corpus_rate_and_an_equal_check(corpus, private_tmp):
    done = shmzmq("demo", corpus, "--workers", 2, "--top", 2, env=private_tmp)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split() for line in lines[:2]] == [["two", "3"], ["three", "3"]]
    assert "corpus: 3 files, 0.1 kB, 11 words, 6 of them different" in lines
    assert "skipped: 2 not UTF-8 text, 0 unreadable" in lines
    assert any(line.startswith("rate: ") and "messages/s" in line for line in lines)
    assert lines[-1] == "check: equal"


@pytest.mark.slow
def test_demo_counts_the_standard_library_when_no_path_is_given(private_tmp):
    done = shmzmq("demo", "--json", "--top", 1, env=private_tmp)
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert result["check"] == "equal"
    assert result["files"] > 500
    assert result["top"][0][0] == "self"


@pytest.mark.slow
def test_json_output_is_one_object_with_the_whole_result(corpus):
    result = json.loads(shmzmq("demo", corpus, "--json", "--workers", 2).stdout)
    assert result["check"] == "equal"
    assert result["differences"] == []
    assert dict(result["top"]) == WORDS
    assert (result["files"], result["words"], result["workers"]) == (3, 11, 2)
    assert result["files_per_second"] > 0


@pytest.mark.slow
def test_no_check_says_so_in_json_and_counts_once(corpus):
    result = json.loads(shmzmq("demo", corpus, "--json", "--no-check").stdout)
    assert (result["check"], result["plain_seconds"]) == ("skipped", None)


@pytest.mark.slow
def test_different_plain_count_is_shown_and_fails(corpus, capsys, monkeypatch):
    monkeypatch.setattr(
        "shmzmq.demo.run.plain_count", lambda files, progress: demo.Tally(Counter(two=1), files=3)
    )
    assert main(["demo", str(corpus), "--workers", "1"]) == 1
    said = capsys.readouterr().out
    assert "check: DIFFERENT" in said
    assert "word 'two': 3 against 1" in said
    assert "written or removed meanwhile" in said


@pytest.mark.slow
def test_words_in_any_script_are_printed_in_a_narrow_locale(corpus):
    done = shmzmq("demo", corpus, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert r"\u6f22\u5b57" in done.stdout


@pytest.mark.parametrize("path", ["/no/such/place", "", "a\0b"])
def test_bad_path_exits_2_and_is_named(path, capsys):
    assert main(["demo", path]) == 2
    assert repr(path) in capsys.readouterr().err


def test_pipe_given_as_corpus_is_refused_instead_of_waited_for(corpus, capsys):
    assert main(["demo", str(corpus / "pipe")]) == 2
    assert "neither a regular file nor a directory" in capsys.readouterr().err


def test_empty_directory_exits_2_and_is_named(tmp_path, capsys):
    assert main(["demo", str(tmp_path)]) == 2
    assert f"no files found in {str(tmp_path)!r}" in capsys.readouterr().err


@pytest.mark.slow
def test_bad_path_in_a_real_run_leaves_no_traceback():
    done = shmzmq("demo", "/no/such/place")
    assert done.returncode == 2
    assert done.stderr == "shmzmq demo: cannot use '/no/such/place': No such file or directory\n"


@pytest.mark.parametrize("workers", ["0", "-1", "many"])
def test_impossible_number_of_workers_exits_2_and_is_named(workers, capsys):
    assert main(["demo", f"--workers={workers}"]) == 2
    assert workers in capsys.readouterr().err


@pytest.mark.slow
def test_temporary_directory_too_long_for_ipc_is_one_line_and_exit_1(corpus, tmp_path):
    long = tmp_path / ("x" * 110)
    long.mkdir()
    done = shmzmq("demo", corpus, env={**os.environ, "TMPDIR": str(long)})
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert os.listdir(long) == []


def test_command_without_sub_command_prints_help_and_exits_2(capsys):
    assert main([]) == 2
    assert "demo" in capsys.readouterr().err


def test_unknown_command_exits_2_and_is_named(capsys):
    assert main(["dmeo"]) == 2
    assert "dmeo" in capsys.readouterr().err


@pytest.mark.parametrize("args", [["--help"], ["demo", "--help"], ["--version"]])
def test_asking_for_help_or_version_exits_0(args, capsys):
    assert main(args) == 0
    assert "shmzmq" in capsys.readouterr().out


# --------------------------------------------------------------------- what life does to the command


def children_of(pid):
    """Pids of the demo's processes, multiprocessing's tracker aside."""
    try:
        pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in pids if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    except OSError:
        return []


def has_ended(pid):
    """Whether the process is gone, or a zombie that nobody has collected yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker-1", "worker-2", "ventilator"])
def test_child_killed_in_the_middle_is_named(big_corpus, victim, all_go_home):
    killed, others = [], multiprocessing.active_children()

    def kill_once(stage, done, total):
        if not killed:
            (process,) = [
                p for p in multiprocessing.active_children() if p.name == victim and p not in others
            ]
            process.kill()
            killed.append(process)

    with pytest.raises(demo.ChildDied, match=rf"{victim} \(pid \d+\) was killed by SIGKILL before"):
        demo.run_demo([big_corpus], workers=2, batch_bytes=1, progress=kill_once)


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, -1])
def test_child_killed_while_it_starts_makes_the_command_exit_1(big_corpus, private_tmp, which):
    with running("demo", big_corpus, "--workers", 2, env=private_tmp) as command:
        children = until(lambda: len(found := children_of(command.pid)) == 3 and found, "three children")
        os.kill(children[which], signal.SIGKILL)
        out, err = command.communicate(timeout=CAP_SECONDS)
    assert (command.returncode, out) == (1, "")
    assert f"(pid {children[which]}) was killed by SIGKILL" in err
    assert len(err.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_command_is_quiet_and_takes_its_children_along(big_corpus, private_tmp, signum, code):
    # A new session, and the signal to all of it, as a terminal sends Ctrl-C.
    with running("demo", big_corpus, env=private_tmp, start_new_session=True) as command:
        children = until(lambda: children_of(command.pid), "a child")
        os.killpg(command.pid, signum)
        out, err = command.communicate(timeout=CAP_SECONDS)
    assert (command.returncode, out, err) == (code, "", "")
    until(lambda: all(map(has_ended, children)), "the children to end")


@pytest.mark.slow
def test_children_leave_when_the_parent_is_killed(big_corpus, tmp_path):
    with tempfile.TemporaryDirectory(prefix="cli-") as folder:
        with running("demo", big_corpus, env={**os.environ, "TMPDIR": folder}) as command:
            children = until(lambda: children_of(command.pid), "a child")
            command.kill()
        until(lambda: all(map(has_ended, children)), "the children to end")


@pytest.mark.slow
@pytest.mark.parametrize("args", [["--help"], ["demo", "--no-check"]])
def test_reader_that_has_gone_is_no_traceback(args, corpus):
    paths = [str(corpus)] if args[0] == "demo" else []
    done = unread(*args, *paths)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_behind_the_output_is_one_line_and_exit_1(corpus):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "shmzmq", "demo", "--no-check", corpus],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=CAP_SECONDS,
            check=False,
        )
    assert done.returncode == 1
    assert "No space left" in done.stderr
    expect_no_traceback(done)


def show_on_a_terminal(forbid_rich):
    """Run the demo's progress on a pseudo-terminal; returns what appeared there."""
    master, slave = os.openpty()
    block = "sys.modules['rich'] = None; " if forbid_rich else ""
    program = (
        f"import sys; {block}from shmzmq.demo.progress import progress_shown\n"
        "with progress_shown() as show:\n"
        "    show('counting', 1, 2); show('counting', 2, 2)"
    )
    try:
        subprocess.run([sys.executable, "-c", program], stderr=slave, timeout=CAP_SECONDS, check=True)
        return os.read(master, 65536).decode()
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.slow
def test_terminal_without_rich_gets_a_plain_line_that_is_wiped_at_the_end():
    shown = show_on_a_terminal(forbid_rich=True)
    assert "counting: 2 of 2 files" in shown
    assert shown.endswith("\r\033[K")


@pytest.mark.slow
def test_terminal_with_rich_gets_a_bar():
    pytest.importorskip("rich")
    assert "counting 2 files" in show_on_a_terminal(forbid_rich=False)
