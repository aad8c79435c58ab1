# Members join and leave: every partition has one owner whenever the group is stable, and every record is read. The only argument is the broker's address.
import sys
import time

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

broker = sys.argv[1]
admin = AdminClient({"bootstrap.servers": broker})
for future in admin.create_topics([NewTopic("orders", num_partitions=6, replication_factor=1)]).values():
    future.result(30)


def member(strategy):
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "readers", "auto.offset.reset": "earliest", "session.timeout.ms": 45000,
                         "heartbeat.interval.ms": 300, "partition.assignment.strategy": strategy, "enable.auto.commit": False})
    consumer.subscribe(["orders"])
    return consumer


def settle(members, share):
    deadline = time.time() + 60
    while time.time() < deadline:
        for consumer in members:
            for message in consumer.consume(100, timeout=0.1):
                if message.error() is None:
                    read.add(message.value())
                    consumer.commit(message=message, asynchronous=False)
        owned = [sorted(partition.partition for partition in consumer.assignment()) for consumer in members]
        if sorted(number for some in owned for number in some) == list(range(6)) and all(len(some) == share for some in owned):
            return
    raise AssertionError(f"the partitions were not assigned: {owned}")


for strategy in ("range", "cooperative-sticky"):
    read = set()
    members = [member(strategy)]
    settle(members, 6)
    members.append(member(strategy))
    settle(members, 3)
    members.append(member(strategy))
    settle(members, 2)
    producer = Producer({"bootstrap.servers": broker})
    sent = {f"{strategy}-{number}".encode() for number in range(300)}
    for value in sent:
        producer.produce("orders", value=value)
    producer.flush(60)
    deadline = time.time() + 60
    while not sent <= read and time.time() < deadline:
        settle(members, 2)
    assert sent <= read, f"{len(sent - read)} records were not read"
    members.pop().close()
    settle(members, 3)
    for consumer in members:
        consumer.close()
print("as expected")
