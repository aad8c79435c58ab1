# confluent-kafka from 2.16 on, whose librdkafka has share groups: a group accepts, releases and rejects records, and is given back what it
# released. Arguments: the brokers, the topic, which exists, and the group. Says "as expected" at the end.
import sys
import time

from confluent_kafka import AcknowledgeType, Producer, ShareConsumer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

RECORDS = 60
brokers, topic, group = sys.argv[1], sys.argv[2], sys.argv[3]


def configure(name, value):
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.GROUP, group, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": brokers})
    for changed in admin.incremental_alter_configs([resource]).values():
        changed.result()


def produce():
    failed = []
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    for number in range(RECORDS):
        producer.produce(topic, f"{number}".encode(), on_delivery=lambda error, _: failed.append(error) if error else None)
    assert producer.flush(60) == 0 and not failed, failed


def decide(number, times):
    if number % 10 == 9:
        return AcknowledgeType.REJECT
    return AcknowledgeType.RELEASE if number % 3 == 0 and times == 1 else AcknowledgeType.ACCEPT


def consume():
    deliveries, settled = {}, set()
    deadline = time.monotonic() + 60
    with ShareConsumer({"bootstrap.servers": brokers, "group.id": group, "share.acknowledgement.mode": "explicit"}) as consumer:
        consumer.subscribe([topic])
        while len(settled) < RECORDS:
            assert time.monotonic() < deadline, f"{RECORDS - len(settled)} records did not come"
            decided = {}
            for message in consumer.poll(1.0):
                assert message.error() is None, message.error()
                number = int(message.value())
                assert number not in settled, f"{number} came again"
                deliveries[number] = deliveries.get(number, 0) + 1
                decided[number] = decide(number, deliveries[number])
                consumer.acknowledge(message, decided[number])
            for partition, failure in consumer.commit_sync(30.0).items():
                assert failure is None, f"{partition}: {failure}"
            settled.update(number for number, decision in decided.items() if decision != AcknowledgeType.RELEASE)
        for message in consumer.poll(2.0):
            raise AssertionError(f"{message.value()} came again")
    return deliveries


configure("share.auto.offset.reset", "earliest")
produce()
expected = {number: 2 if number % 3 == 0 and number % 10 != 9 else 1 for number in range(RECORDS)}
deliveries = consume()
assert deliveries == expected, deliveries
print("as expected")
