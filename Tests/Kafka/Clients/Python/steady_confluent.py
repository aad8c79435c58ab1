# confluent-kafka: writes numbers at a steady rate and reads them in a group of two, through the loss of a broker. Arguments: the brokers,
# the topic, the count. Reports its progress, and "as expected" at the end. Records are taken with poll. In librdkafka before 2.1, consume
# stores the offsets of records that it discards when a rebalance interrupts the call, so that they are never read, with any broker (release
# notes of 2.0.0, known issues).
import sys
import threading
import time

from confluent_kafka import Consumer, Producer

brokers, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
read, failed, acknowledged, gate, done = set(), [], [], threading.Lock(), threading.Event()


def say(what):
    print(what, flush=True)


def consume():
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": topic, "auto.offset.reset": "earliest", "session.timeout.ms": 10000, "heartbeat.interval.ms": 300,
                         "auto.commit.interval.ms": 500})
    consumer.subscribe([topic])
    while not done.is_set():
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            with gate:
                read.add(message.value())
                if len(read) % 500 == 0:
                    say(f"read {len(read)}")
    consumer.close()


def delivered(error, message):
    if error is not None:
        failed.append(error)
        return
    acknowledged.append(message.value())
    if len(acknowledged) % 500 == 0:
        say(f"acknowledged {len(acknowledged)}")


members = [threading.Thread(target=consume) for _ in range(2)]
members[0].start()
producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "linger.ms": 5})
for number in range(count):
    producer.produce(topic, key=str(number), value=str(number), on_delivery=delivered)
    producer.poll(0)
    if number == count // 2:
        members[1].start()
    if number % 20 == 19:
        time.sleep(0.015)
left = producer.flush(90)
deadline = time.time() + 120
while len(read) < count and time.time() < deadline:
    time.sleep(0.02)
done.set()
for member in members:
    member.join()
assert (left, failed, len(acknowledged)) == (0, [], count), (left, failed[:3], len(acknowledged))
missing = [number for number in range(count) if str(number).encode() not in read]
assert missing == [], f"{len(missing)} of {count} were not read, from {missing[0]} to {missing[-1]}"
say("as expected")
