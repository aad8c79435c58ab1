# kafka-python: writes one record. Arguments: the brokers, the topic, and more arguments of the clients as a JSON object. Prints "acknowledged", or the error.
import json
import sys

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError, for_code

brokers, topic = sys.argv[1].split(","), sys.argv[2]
login = dict(bootstrap_servers=brokers, api_version_auto_timeout_ms=10000, **json.loads(sys.argv[3]))
try:
    KafkaProducer(acks="all", max_block_ms=15000, **login).send(topic, b"one").get(60)
    print("acknowledged")
except KafkaTimeoutError as error:
    # A producer of one topic does not tell why it gets no metadata of it.
    print(repr(error), for_code(KafkaAdminClient(**login).describe_topics([topic])[0]["error_code"]).__name__)
except (KafkaError, OSError) as error:
    # Those of TLS are the socket's.
    print(repr(error))
