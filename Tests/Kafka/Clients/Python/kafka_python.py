# kafka-python: a client that shares no code with librdkafka or Kafka. The only argument is the broker's address.
import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

broker = sys.argv[1]
admin = KafkaAdminClient(bootstrap_servers=broker)
admin.create_topics([NewTopic("orders", 3, 1)])

producer = KafkaProducer(bootstrap_servers=broker, acks="all", compression_type="gzip")
sent = [producer.send("orders", key=b"%d" % number, value=b"v%d" % number, headers=[("h", b"x")]) for number in range(500)]
assert all(future.get(30).offset >= 0 for future in sent)

consumer = KafkaConsumer("orders", bootstrap_servers=broker, group_id="readers", auto_offset_reset="earliest", consumer_timeout_ms=30000)
read = set()
for message in consumer:
    assert message.headers == [("h", b"x")], message.headers
    read.add(message.value)
    if len(read) == 500:
        break
assert len(read) == 500, len(read)
consumer.commit()
partitions = [TopicPartition("orders", number) for number in range(3)]
assert sum(consumer.committed(partition) for partition in partitions) == 500
assert sum(consumer.end_offsets(partitions).values()) == 500
assert all(found.offset == 0 for found in consumer.offsets_for_times({partition: 0 for partition in partitions}).values())
consumer.close()

assert admin.list_consumer_groups() == [("readers", "consumer")]
assert admin.describe_consumer_groups(["readers"])[0].state == "Empty"
admin.delete_topics(["orders"])
print("as expected")
