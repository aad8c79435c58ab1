"""pika over the wire alone: login, virtual hosts, channels, messages, heartbeats, errors and both closes."""
import datetime
import sys
import time

import pika
from pika import exceptions

host, port = sys.argv[1].rsplit(":", 1)


def parameters(password="guest", vhost="/", **more):
    return pika.ConnectionParameters(host, int(port), vhost, pika.PlainCredentials("guest", password), **more)


def fails(expected, action):
    try:
        action()
    except expected as error:
        return error
    raise AssertionError(f"{expected} did not come")


fails(exceptions.ProbableAuthenticationError, lambda: pika.BlockingConnection(parameters("wrong")))
missing = fails(exceptions.AMQPConnectionError, lambda: pika.BlockingConnection(parameters(vhost="missing")))
assert "vhost missing not found" in repr(missing), missing

connection = pika.BlockingConnection(parameters(heartbeat=1, client_properties={"connection_name": "wire"}))
channels = [connection.channel() for _ in range(5)]
channel = channels[0]
channel.queue_declare("q", arguments={"x-max-length": 5})
channel.confirm_delivery()
headers = {"n": 1, "big": 2 ** 40, "text": "hällo", "list": [1, "two", {"deep": None}],
           "when": datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)}
properties = pika.BasicProperties(content_type="text/plain", headers=headers, delivery_mode=2, priority=3, message_id="m")
for size in (0, 5, 131064, 131065, 1000000):
    channel.basic_publish("", "q", b"x" * size, properties)
    method, received, body = channel.basic_get("q")
    assert body == b"x" * size and received.headers == headers, (size, received)
    assert (received.content_type, received.priority, received.message_id) == ("text/plain", 3, "m")
assert channel.basic_get("q") == (None, None, None)

# Three heartbeats long nothing but heartbeats.
until = time.monotonic() + 3
while time.monotonic() < until:
    connection.process_data_events(0.2)
assert connection.is_open

gone = fails(exceptions.ChannelClosedByBroker, lambda: channels[1].queue_purge("missing"))
assert (gone.reply_code, gone.reply_text) == (404, "NOT_FOUND - no queue 'missing' in vhost '/'"), gone
assert connection.is_open and channels[2].basic_get("q") == (None, None, None)
channels[2].close()
connection.close()

connection = pika.BlockingConnection(parameters())
other = connection.channel()
error = fails(exceptions.ConnectionClosedByBroker, lambda: other.exchange_declare("x"))
assert error.reply_code == 540, error
print("as expected")
