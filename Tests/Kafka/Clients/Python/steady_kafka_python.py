# kafka-python: writes numbers at a steady rate and reads them in a group of two, through the loss of a broker. Arguments: the brokers,
# the topic, the count, more arguments of both clients as a JSON object ("token" is one for OAUTHBEARER), and an array of the numbers before
# which it waits for a line of input. Reports its progress, and "as expected" at the end.
import json
import sys
import threading
import time

from kafka import KafkaConsumer, KafkaProducer
from kafka.oauth import AbstractTokenProvider


class Provider(AbstractTokenProvider):
    def __init__(self, token):
        self._token = token

    def token(self):
        return self._token


brokers, topic, count = sys.argv[1].split(","), sys.argv[2], int(sys.argv[3])
login = json.loads(sys.argv[4]) if len(sys.argv) > 4 else {}
holds = json.loads(sys.argv[5]) if len(sys.argv) > 5 else []
if "token" in login:
    login["sasl_oauth_token_provider"] = Provider(login.pop("token"))
read, gate, done = set(), threading.Lock(), threading.Event()


def say(what):
    print(what, flush=True)


def consume():
    consumer = KafkaConsumer(topic, bootstrap_servers=brokers, group_id=topic, auto_offset_reset="earliest", session_timeout_ms=10000, heartbeat_interval_ms=300,
                             auto_commit_interval_ms=500, request_timeout_ms=15000, retry_backoff_ms=50, **login)
    while not done.is_set():
        for records in consumer.poll(100).values():
            with gate:
                for record in records:
                    read.add(record.value)
                    if len(read) % 500 == 0:
                        say(f"read {len(read)}")
    consumer.close(autocommit=False)


members = [threading.Thread(target=consume) for _ in range(2)]
for member in members:
    member.start()
producer = KafkaProducer(bootstrap_servers=brokers, acks="all", retries=1000, retry_backoff_ms=50, request_timeout_ms=10000, max_in_flight_requests_per_connection=1,
                         linger_ms=5, **login)
sent = []
for number in range(count):
    if number in holds:
        sys.stdin.readline()
    sent.append(producer.send(topic, key=b"%d" % number, value=b"%d" % number))
    if number % 20 == 19:
        time.sleep(0.015)
for number, future in enumerate(sent):
    future.get(90)
    if number % 500 == 499:
        say(f"acknowledged {number + 1}")
deadline = time.time() + 120
while len(read) < count and time.time() < deadline:
    time.sleep(0.02)
done.set()
for member in members:
    member.join()
assert len(read) == count, f"only {len(read)} of {count} were read"
say("as expected")
