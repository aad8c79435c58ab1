"""A consumer group of many members in one process, each with a librdkafka client of its own.

    group.py BOOTSTRAP TOPIC GROUP MEMBERS RECORDS

Joins all members at once and writes {"joinMs": ...} when each has partitions and all partitions are assigned; they are paused
meanwhile. After a line of input they read, and it writes {"seconds": ..., "records": ...} when they have read that many records from
the topic's beginning.
"""
import json
import sys
import threading
import time

from confluent_kafka import Consumer

bootstrap, topic, group, members, wanted = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
lock = threading.Condition()
assigned = {}  # member -> its partitions
counted = 0
failure = None
reading = threading.Event()
done = threading.Event()


def member(number):
    global counted, failure
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
        # Small queues: many members share the machine's memory.
        "queued.max.messages.kbytes": 16384, "fetch.wait.max.ms": 500,
    })

    def on_assign(client, partitions):
        client.assign(partitions)
        if not reading.is_set():
            client.pause(partitions)
        with lock:
            assigned[number] = partitions
            lock.notify_all()

    def on_revoke(client, partitions):
        client.unassign()
        with lock:
            assigned[number] = []

    consumer.subscribe([topic], on_assign=on_assign, on_revoke=on_revoke)
    resumed = False
    try:
        while not done.is_set():
            if reading.is_set() and not resumed:
                consumer.resume(assigned.get(number, []))
                resumed = True
            messages = consumer.consume(num_messages=10000, timeout=0.1)
            records = sum(1 for message in messages if message.error() is None)
            errors = [str(message.error()) for message in messages if message.error() is not None]
            with lock:
                counted += records
                if errors:
                    failure = errors[0]
                if counted >= wanted or errors:
                    done.set()
                    lock.notify_all()
    finally:
        consumer.close()


def all_joined(partitions):
    return failure or (sum(len(held) for held in assigned.values()) == partitions and sum(1 for held in assigned.values() if held) == members)


start = time.monotonic()
partitions = len(Consumer({"bootstrap.servers": bootstrap, "group.id": "none"}).list_topics(topic, timeout=30).topics[topic].partitions)
threads = [threading.Thread(target=member, args=(number,), daemon=True) for number in range(members)]
for thread in threads:
    thread.start()
with lock:
    if not lock.wait_for(lambda: all_joined(partitions), timeout=120):
        sys.exit(f"{sum(1 for held in assigned.values() if held)} of {members} members have partitions after 120 s")
print(json.dumps({"joinMs": 1000 * (time.monotonic() - start)}), flush=True)
sys.stdin.readline()
start = time.monotonic()
reading.set()
if not done.wait(timeout=120) or failure:
    sys.exit(failure or f"{counted} of {wanted} records after 120 s")
print(json.dumps({"seconds": time.monotonic() - start, "records": counted}), flush=True)
for thread in threads:
    thread.join(timeout=30)
