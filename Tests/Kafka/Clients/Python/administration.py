# Topics, configurations, partitions, offsets by time and groups, as used by an administration script. The only argument is the broker's address.
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic

broker = sys.argv[1]
admin = AdminClient({"bootstrap.servers": broker})


def done(futures):
    return {key: future.result(30) for key, future in futures.items()}


def check(expected, actual):
    assert expected == actual, f"expected {expected}, not {actual}"


done(admin.create_topics([NewTopic("orders", num_partitions=3, replication_factor=1, config={"retention.ms": "100000"})]))
try:
    done(admin.create_topics([NewTopic("orders", num_partitions=3, replication_factor=1)]))
    raise AssertionError("a topic was created twice")
except Exception as refused:
    check("TOPIC_ALREADY_EXISTS", refused.args[0].name())

resource = ConfigResource("topic", "orders")
configs = done(admin.describe_configs([resource]))[resource]
check("100000", configs["retention.ms"].value)
check(False, configs["retention.ms"].is_default)
done(admin.alter_configs([ConfigResource("topic", "orders", set_config={"cleanup.policy": "compact"})]))
configs = done(admin.describe_configs([resource]))[resource]
check("compact", configs["cleanup.policy"].value)
check("604800000", configs["retention.ms"].value)
done(admin.alter_configs([ConfigResource("topic", "orders", set_config={})]))

done(admin.create_partitions([NewPartitions("orders", 5)]))
check(5, len(admin.list_topics("orders", timeout=30).topics["orders"].partitions))

failed = []
producer = Producer({"bootstrap.servers": broker, "enable.idempotence": True, "compression.type": "lz4"})
for number in range(2000):
    producer.produce("orders", key=str(number), value=f"v{number}", headers={"h": b"x"}, timestamp=1700000000000 + number,
                     on_delivery=lambda error, _: failed.append(error) if error else None)
check(0, producer.flush(60))
check([], failed)

consumer = Consumer({"bootstrap.servers": broker, "group.id": "readers", "auto.offset.reset": "earliest", "enable.auto.commit": False})
consumer.subscribe(["orders"])
values, deadline = set(), time.time() + 60
while len(values) < 2000 and time.time() < deadline:
    for message in consumer.consume(500, timeout=1.0):
        assert message.error() is None, message.error()
        check([("h", b"x")], message.headers())
        values.add(message.value().decode())
check(2000, len(values))
consumer.commit(asynchronous=False)
partitions = [TopicPartition("orders", number) for number in range(5)]
check(2000, sum(partition.offset for partition in consumer.committed(partitions, timeout=30)))
check(0, consumer.offsets_for_times([TopicPartition("orders", 0, 1700000000000)], timeout=30)[0].offset)
consumer.close()

check(["readers"], [group.id for group in admin.list_groups(timeout=30)])
done(admin.delete_topics(["orders"]))
check([], [name for name in admin.list_topics(timeout=30).topics if not name.startswith("__")])
print("as expected")
