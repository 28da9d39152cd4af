"""`shmzmq recv` and `shmzmq send` as a shell runs them, with peers of shmzmq and of pyzmq."""

import os
import signal
import subprocess

import pytest

import kit
import shell
from shmzmq.commands import main

pytestmark = pytest.mark.slow

ANY = "tcp://127.0.0.1:*"


def expect_end(process, code, out="", err="", send=None):
    assert shell.end(process, send) == (code, out, err)


def wait_asleep(process):
    kit.wait_until(lambda: kit.stays_asleep(process.pid), "the command to wait", cap=shell.CAP_SECONDS)


# --- recv ------------------------------------------------------------------------------------------------


def test_recv_prints_a_line_for_each_message(peers):
    with shell.running("recv", "-n", 3, "--bind", ANY) as recv:
        push = peers.connected("PUSH", shell.bound_port(recv))
        for frames in ([b"one"], [b"two", b"2"], [b"three\n\xff"]):
            push.send_multipart(frames)
        expect_end(recv, 0, "one\ntwo\t2\nthree\\n\\xff\n")


def test_recv_over_ipc_connects_to_a_peer_that_binds_later(peers, folder):
    with shell.running("recv", "-n", 1, f"ipc://{folder}/x") as recv:
        push, _ = peers.bound("PUSH", f"ipc://{folder}/x")
        push.send(b"here")
        expect_end(recv, 0, "here\n")


def test_recv_subscribes_to_topics_and_to_no_others(peers):
    with shell.running(
        "recv", "-n", 2, "--type", "sub", "--subscribe", "b", "--subscribe", "c", "@" + ANY
    ) as recv:
        publisher = peers.connected("XPUB", shell.bound_port(recv))
        assert {publisher.recv(), publisher.recv()} == {b"\x01b", b"\x01c"}
        for text in (b"a1", b"b1", b"a2", b"c1"):
            publisher.send(text)
        expect_end(recv, 0, "b1\nc1\n")


def test_recv_subscribes_to_a_topic_that_is_no_text(peers):
    with shell.running(
        "recv", "-n", 1, "--type", "SUB", "--format", "hex", "--subscribe", os.fsdecode(b"\xff"), "@" + ANY
    ) as recv:
        publisher = peers.connected("XPUB", shell.bound_port(recv))
        assert publisher.recv() == b"\x01\xff"
        publisher.send(b"\xff1")
        expect_end(recv, 0, "ff31\n")


def test_recv_as_rep_answers_every_request(peers):
    with shell.running("recv", "-n", 2, "--type", "rep", "--reply", "pong", "@" + ANY) as recv:
        asker = peers.connected("REQ", shell.bound_port(recv))
        for _ in range(2):
            asker.send(b"ping")
            assert asker.recv() == b"pong"
        expect_end(recv, 0, "ping\nping\n")


def test_recv_shows_each_message_at_once_also_to_a_pipe(peers):
    with shell.running("recv", "@" + ANY) as recv:
        push = peers.connected("PUSH", shell.bound_port(recv))
        for text in ("first", "second"):
            push.send_string(text)
            assert recv.stdout.readline() == f"{text}\n"
        recv.send_signal(signal.SIGINT)
        expect_end(recv, 130)


@pytest.mark.parametrize(("form", "said"), [("hex", "00ff -\n"), ("json", '[{"base64": "AP8="}, ""]\n')])
def test_recv_prints_what_text_cannot_say_in_other_formats(peers, form, said):
    with shell.running("recv", "-n", 1, "--format", form, "@" + ANY) as recv:
        peers.connected("PUSH", shell.bound_port(recv)).send_multipart([b"\x00\xff", b""])
        expect_end(recv, 0, said)


def test_recv_without_a_message_in_time_exits_1_with_one_line(folder):
    done = shell.shmzmq("recv", "--timeout", "0.05", f"@ipc://{folder}/x")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "shmzmq recv: no message came within 0.05 s\n"


@pytest.mark.parametrize(("count", "code", "line"), [([], 0, ""), (["-n", "2"], 1, "1 of 2 messages came")])
def test_recv_that_got_something_before_the_timeout_exits_by_whether_more_was_asked_for(
    count, code, line, folder
):
    with shell.running("recv", *count, "--timeout", "1", f"@ipc://{folder}/x") as recv:
        assert shell.shmzmq("send", f"ipc://{folder}/x", "one").returncode == 0
        ended, out, err = shell.end(recv)
    assert (ended, out) == (code, "one\n")
    assert line in err


def test_recv_whose_reader_has_gone_ends_quietly(peers):
    with shell.running("recv", "@" + ANY) as recv:
        push = peers.connected("PUSH", shell.bound_port(recv))
        recv.stdout.close()
        push.send(b"to nobody")
        assert recv.wait(shell.CAP_SECONDS) == 141
        assert recv.stderr.read() == ""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_recv_ended_by_a_signal_is_quiet_and_says_so_in_its_exit_code(signum):
    with shell.running("recv", "@" + ANY) as recv:
        shell.bound_port(recv)
        wait_asleep(recv)
        recv.send_signal(signum)
        expect_end(recv, 128 + signum)


def test_recv_says_why_a_peer_was_refused_instead_of_waiting_in_silence(peers):
    with shell.running("recv", "@" + ANY) as recv:
        peers.connected("SUB", shell.bound_port(recv))
        assert "cannot talk to" in recv.stderr.readline()
        recv.send_signal(signal.SIGINT)
        assert shell.end(recv)[0] == 130


# --- send ------------------------------------------------------------------------------------------------


def test_send_makes_a_message_of_each_argument(peers):
    pull, endpoint = peers.bound("PULL")
    done = shell.shmzmq("send", endpoint, "one", "two words", b"\xff".decode(errors="surrogateescape"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [pull.recv_multipart() for _ in range(3)] == [[b"one"], [b"two words"], [b"\xff"]]


def test_send_takes_options_anywhere_and_after_two_dashes_none(peers):
    pull, endpoint = peers.bound("PULL")
    done = shell.shmzmq("send", endpoint, "--timeout", "10", "one", "--format", "text", "--", "-2", "--type")
    assert (done.returncode, done.stderr) == (0, "")
    assert [pull.recv() for _ in range(3)] == [b"one", b"-2", b"--type"]


def test_send_makes_frames_of_the_arguments_when_asked(peers):
    pull, endpoint = peers.bound("PULL")
    assert shell.shmzmq("send", "--multipart", endpoint, "head", "", "body").returncode == 0
    assert pull.recv_multipart() == [b"head", b"", b"body"]


def test_send_reads_lines_and_sends_each_when_it_comes(peers):
    pull, endpoint = peers.bound("PULL")
    with shell.running("send", endpoint, stdin=subprocess.PIPE) as send:
        for text in ("first", "", "tab\tand \\n"):
            send.stdin.write(f"{text}\n")
            send.stdin.flush()
            assert pull.recv() == text.encode()
        expect_end(send, 0, send="no newline at the end")
    assert pull.recv() == b"no newline at the end"


def test_send_splits_lines_at_tabs_when_asked(peers):
    pull, endpoint = peers.bound("PULL")
    assert shell.shmzmq("send", "--multipart", endpoint, input="a\t\tb\n").returncode == 0
    assert pull.recv_multipart() == [b"a", b"", b"b"]


def test_send_raw_carries_all_of_stdin_in_one_message(peers, folder):
    pull, endpoint = peers.bound("PULL", f"ipc://{folder}/x")
    content = os.urandom(1 << 20) + b"\n"
    done = subprocess.run(
        shell.command("send", "--format", "raw", endpoint),
        input=content,
        timeout=shell.CAP_SECONDS,
        check=False,
    )
    assert done.returncode == 0
    assert pull.recv() == content


def test_send_as_req_prints_the_answer(peers):
    rep, endpoint = peers.bound("REP")
    with shell.running("send", "--type", "req", endpoint, "ping", "again") as send:
        for text in (b"ping", b"again"):
            assert rep.recv() == text
            rep.send_multipart([b"got", text])
        expect_end(send, 0, "got\tping\ngot\tagain\n")


def test_send_as_req_without_an_answer_in_time_exits_1(peers):
    _rep, endpoint = peers.bound("REP")
    done = shell.shmzmq("send", "--type", "req", "--timeout", "0.5", endpoint, "ping")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"shmzmq send: no answer came within 0.5 s from {endpoint}\n"


def test_send_as_pub_waits_for_a_subscription_and_loses_no_line(peers):
    lines = [f"line {number}" for number in range(3000)]
    with shell.running("send", "--type", "pub", "@" + ANY, stdin=subprocess.PIPE) as send:
        subscriber = peers.socket("SUB")
        subscriber.subscribe("line 29")
        subscriber.connect(shell.bound_port(send))
        expect_end(send, 0, send="\n".join(lines))
    wanted = [line for line in lines if line.startswith("line 29")]
    assert [subscriber.recv_string() for _ in wanted] == wanted


def test_send_waits_for_as_many_peers_as_were_asked_for(peers):
    with shell.running("send", "--wait", 2, "@" + ANY, "one", "two") as send:
        endpoint = shell.bound_port(send)
        pulls = [peers.connected("PULL", endpoint) for _ in range(2)]
        assert sorted(pull.recv() for pull in pulls) == [b"one", b"two"]
        expect_end(send, 0)


def test_send_to_nobody_exits_1_after_the_timeout(folder):
    done = shell.shmzmq("send", "--timeout", "0.05", f"ipc://{folder}/x", "lost")
    assert (done.returncode, done.stderr) == (
        1,
        f"shmzmq send: nobody came to ipc://{folder}/x in 0.05 s\n",
    )


def test_send_to_a_peer_that_takes_nothing_exits_1_after_the_timeout(peers):
    pull = peers.socket("PULL")
    pull.rcvhwm, pull.rcvbuf = 1, 4096
    pull.bind(ANY)
    endpoint = pull.getsockopt(peers.zmq.LAST_ENDPOINT).decode().rstrip("\0")
    with shell.running("send", "--timeout", "0.5", endpoint, stdin=subprocess.PIPE) as send:
        code, _, err = shell.end(send, send="x" * 60_000 + "\n" + ("y" * 60_000 + "\n") * 2000)
    assert code == 1
    assert "nobody took the message within 0.5 s" in err or "not all was taken in 0.5 s" in err


@pytest.mark.parametrize("waiting", ["for a peer", "to be rid of what it sent", "for lines"])
def test_send_interrupted_is_quiet_wherever_it_waits(waiting, peers, folder):
    if waiting == "for lines":
        _pull, endpoint = peers.bound("PULL")
        args, more = [endpoint], {"stdin": subprocess.PIPE}
    else:
        args, more = [f"ipc://{folder}/x", "never taken"], {}
        args = ["--wait", "0", *args] if waiting != "for a peer" else args
    with shell.running("send", *args, **more) as send:
        wait_asleep(send)
        send.send_signal(signal.SIGINT)
        expect_end(send, 130)


def test_line_that_is_not_in_the_format_exits_2_and_is_counted(peers):
    pull, endpoint = peers.bound("PULL")
    done = shell.shmzmq("send", "--format", "hex", endpoint, input="00ff 01\nxyz\n")
    assert done.returncode == 2
    assert done.stderr == "shmzmq send: line 2: 'xyz' is not hex; the lines before it were sent\n"
    assert pull.recv_multipart() == [b"\x00\xff", b"\x01"]


def test_what_recv_prints_as_json_send_sends_again(peers, folder):
    pull, endpoint = peers.bound("PULL")
    recv = subprocess.Popen(
        shell.command("recv", "-n", 2, "--format", "json", f"@ipc://{folder}/x"), stdout=subprocess.PIPE
    )
    with recv, shell.running("send", "--format", "json", endpoint, stdin=recv.stdout) as send:
        push = peers.connected("PUSH", f"ipc://{folder}/x")
        push.send_multipart([b"a\nb", b"\xff"])
        push.send_multipart([b""])
        assert [pull.recv_multipart(), pull.recv_multipart()] == [[b"a\nb", b"\xff"], [b""]]
        expect_end(send, 0)
    assert recv.returncode == 0


def test_closed_stdin_and_closed_stdout_are_said_in_one_line(folder):
    for name, stream in (("send", "<&-"), ("recv", ">&-")):
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {stream}', "sh", *shell.command(name, f"@ipc://{folder}/x")],
            capture_output=True,
            text=True,
            timeout=shell.CAP_SECONDS,
            check=False,
        )
        assert done.returncode in (1, 2)
        assert len(done.stderr.splitlines()) == 1, done.stderr


# --- nobody there ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [["recv"], ["send", "--type", "PUSH"], ["send", "--type", "PUB"]])
def test_who_waits_long_for_nobody_is_told_so_once(args, folder, monkeypatch, capsys):
    for module in ("recv", "send"):
        monkeypatch.setattr(f"shmzmq.commands.{module}.NOTICE_SECONDS", 0.05)
    endpoint = f"ipc://{folder}/x"
    assert main([*args, "--timeout", "0.4", endpoint, *(["text"] if args[0] == "send" else [])]) == 1
    first, *_ = capsys.readouterr().err.splitlines()
    assert first.startswith(f"shmzmq {args[0]}: waiting: nobody ")
    assert first.endswith(endpoint)


# --- wrong usage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["recv", "tcp://*:5555"], 2, "to bind it, write an @ before it"),
        (["recv", "nonsense"], 2, "cannot connect to 'nonsense'"),
        (["recv", "inproc://x"], 2, "inproc ends at this process"),
        (["recv", "@ipc:///no/such/folder/x"], 1, "No such file or directory"),
        (["recv", "--type", "PUSH", "tcp://h:1"], 2, "invalid choice: 'PUSH'"),
        (["recv", "--subscribe", "x", "tcp://h:1"], 2, "--subscribe goes with --type SUB"),
        (["recv", "--reply", "x", "tcp://h:1"], 2, "--reply goes with --type REP"),
        (["recv", "--timeout", "nan", "tcp://h:1"], 2, "'nan' is not a number of seconds"),
        (["recv", "-n", "0", "tcp://h:1"], 2, "0 is less than 1"),
        (["send", "--format", "hex", "tcp://h:1", "00", "zz"], 2, "MESSAGE: 'zz' is not hex"),
        (["send", "--format", "json", "tcp://h:1", "{"], 2, "is not JSON"),
        (["send"], 2, "required: ENDPOINT"),
    ],
)
def test_wrong_usage_is_one_line(args, code, text, capsys):
    assert main(args) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert text in said.err
    assert len(said.err.splitlines()) == 1
