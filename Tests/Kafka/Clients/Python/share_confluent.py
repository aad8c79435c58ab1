# confluent-kafka from 2.16 on, whose librdkafka has share groups: a group accepts, releases and rejects records, is given back what it
# released, and finds what it rejected in its dead-letter topic. Arguments: the brokers, the topic, which exists, and the group. Says "as
# expected" at the end.
import sys
import time

from confluent_kafka import AcknowledgeType, Consumer, KafkaError, KafkaException, Producer, ShareConsumer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

RECORDS = 60
brokers, topic, group = sys.argv[1], sys.argv[2], sys.argv[3]
letters = f"{topic}.letters"
admin = AdminClient({"bootstrap.servers": brokers})


def configure(name, value):
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.GROUP, group, incremental_configs=[entry])
    for changed in admin.incremental_alter_configs([resource]).values():
        changed.result()


def name_letters():
    try:
        configure("share.dead.letter.topic", letters)
        raise AssertionError("a topic that does not exist was taken")
    except KafkaException as refused:
        assert refused.args[0].code() == KafkaError.INVALID_CONFIG, refused
    for created in admin.create_topics([NewTopic(letters, num_partitions=1)]).values():
        created.result()
    configure("share.dead.letter.topic", letters)


def read_letters(count):
    read = []
    deadline = time.monotonic() + 60
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "letters", "enable.auto.commit": False})
    consumer.assign([TopicPartition(letters, 0, 0)])
    while len(read) < count:
        assert time.monotonic() < deadline, f"{count - len(read)} dead letters did not come"
        message = consumer.poll(1.0)
        if message is not None and message.error() is None:
            read.append(int(message.value()))
    assert consumer.poll(1.0) is None, "a dead letter came twice"
    consumer.close()
    return sorted(read)


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
name_letters()
produce()
expected = {number: 2 if number % 3 == 0 and number % 10 != 9 else 1 for number in range(RECORDS)}
deliveries = consume()
assert deliveries == expected, deliveries
rejected = [number for number in range(RECORDS) if number % 10 == 9]
read = read_letters(len(rejected))
assert read == rejected, read
print("as expected")
