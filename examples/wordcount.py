"""Count the words of Python's standard library with two worker processes over ipc://."""

import sysconfig
import tempfile
from collections import Counter
from multiprocessing import get_context
from pathlib import Path

import shmzmq as zmq


def worker(folder):
    with zmq.Context() as context, context.socket(zmq.PULL) as tasks, context.socket(zmq.PUSH) as counts:
        tasks.setsockopt(zmq.RCVHWM, 10)  # short queues: no worker is given everything at once
        tasks.connect(f"ipc://{folder}/tasks")
        counts.connect(f"ipc://{folder}/counts")
        while True:
            counts.send_json(Counter(tasks.recv().decode().split()))


def sink(folder, files):
    with zmq.Context() as context, context.socket(zmq.PULL) as counts:
        counts.bind(f"ipc://{folder}/counts")
        total = Counter()
        for _ in range(files):  # every file brings one answer
            total.update(counts.recv_json())
    print(f"{total.total():,} words in {files} files, these most often:")
    for word, count in total.most_common(5):
        print(f"{count:8,}  {word}")


def main():
    paths = list(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    Process = get_context("spawn").Process
    with tempfile.TemporaryDirectory() as folder, zmq.Context() as context, context.socket(zmq.PUSH) as tasks:
        tasks.setsockopt(zmq.SNDHWM, 10)
        tasks.bind(f"ipc://{folder}/tasks")
        total = Process(target=sink, args=(folder, len(paths)))
        workers = [Process(target=worker, args=(folder,)) for _ in range(2)]
        for process in [total, *workers]:
            process.start()
        for path in paths:
            tasks.send(path.read_bytes())
        total.join()  # all is counted then, and the workers would wait for ever
        for process in workers:
            process.terminate()
            process.join()


if __name__ == "__main__":
    main()
