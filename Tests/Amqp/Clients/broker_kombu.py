"""kombu over a broker: simple queues, declarations, consumers, returns, exchanges, mailboxes. Its argument is the broker's HOST:PORT."""

import socket
import sys
import threading

import kombu
from kombu.pidbox import Mailbox

URL = f"amqp://guest:guest@{sys.argv[1]}//"
PATIENCE = 60


def drain(connection, is_done):
    while not is_done():
        connection.drain_events(timeout=PATIENCE)


def simple(connection):
    queue = connection.SimpleQueue("simple")
    for number in range(20):
        queue.put({"number": number}, compression="zlib" if number % 2 else None)
    for number in range(20):
        message = queue.get(timeout=PATIENCE)
        assert message.payload == {"number": number}, message.payload
        message.ack()
    queue.close()


def declarations(connection):
    media = kombu.Exchange("media", "direct", durable=True)
    videos = kombu.Queue("videos", media, "video", max_priority=10, message_ttl=600.0, expires=600.0, max_length=100)
    images = kombu.Queue("images", media, "image", queue_arguments={"x-queue-type": "quorum"})
    producer = connection.Producer(serializer="json")
    for priority in range(5):
        producer.publish(priority, exchange=media, routing_key="video", declare=[media, videos, images], priority=priority, retry=True)
    producer.publish([1, 2], exchange=media, routing_key="image", expiration=600)
    received = {"video": [], "image": []}

    def take(body, message):
        received[message.delivery_info["routing_key"]].append(body)
        message.ack()

    with connection.Consumer([videos, images], callbacks=[take], prefetch_count=10):
        drain(connection, lambda: sum(map(len, received.values())) == 6)
    assert received == {"video": [4, 3, 2, 1, 0], "image": [[1, 2]]}, received
    try:
        connection.channel().queue_declare("missing", passive=True)
        raise AssertionError("a missing queue was found")
    except connection.channel_errors as fault:
        assert fault.code == 404, fault


def returns():
    with kombu.Connection(URL, transport_options={"confirm_publish": True}) as connection:
        returned = []
        producer = kombu.Producer(connection.channel(), on_return=lambda *what: returned.append(what))
        producer.publish("lost", exchange="", routing_key="nowhere", mandatory=True)
        drain(connection, lambda: returned)


def exchanges(connection):
    channel = connection.default_channel
    source, target = kombu.Exchange("source", "topic")(channel), kombu.Exchange("target", "fanout", auto_delete=True)(channel)
    source.declare()
    target.declare()
    target.bind_to(source, routing_key="a.#")
    queue = kombu.Queue("", target, exclusive=True)(channel)
    queue.declare()
    assert queue.name.startswith("amq.gen-"), queue.name
    connection.Producer().publish("routed", exchange=source, routing_key="a.b")
    received = []
    with connection.Consumer([queue], callbacks=[lambda body, message: received.append(body)], no_ack=True, auto_declare=False):
        drain(connection, lambda: received)
    assert received == ["routed"], received


def mailboxes(connection):
    """Celery controls its workers by them."""
    mailbox = Mailbox("control", type="fanout")
    node = mailbox(connection).Node("worker", channel=connection.channel())
    node.handlers["ping"] = lambda state, **arguments: {"ok": "pong"}
    replies = []

    def ask():
        with kombu.Connection(URL) as other:
            replies.extend(mailbox(other)._broadcast("ping", reply=True, timeout=PATIENCE, limit=1, channel=other.channel()))

    asking = threading.Thread(target=ask)
    with node.listen(channel=node.channel):
        asking.start()
        while asking.is_alive():
            try:
                connection.drain_events(timeout=0.1)
            except socket.timeout:
                pass
    assert replies == [{"worker": {"ok": "pong"}}], replies


with kombu.Connection(URL, heartbeat=60) as shared:
    shared.ensure_connection(max_retries=1)
    simple(shared)
    declarations(shared)
    returns()
    exchanges(shared)
    mailboxes(shared)
print("as expected")
