"""pika over a broker: messages, routing, queues, consumers, transactions, dead letters, errors, a restart."""
import sys
import time

import pika
from pika import exceptions

host, port = sys.argv[1].rsplit(":", 1)
DURABLE = pika.BasicProperties(delivery_mode=2, headers={"n": 1, "text": "hällo"}, content_type="text/plain", message_id="m")


def connect():
    return pika.BlockingConnection(pika.ConnectionParameters(host, int(port), "/", pika.PlainCredentials("guest", "guest")))


def fails(code, text, action):
    try:
        action()
    except (exceptions.ChannelClosedByBroker, exceptions.ConnectionClosedByBroker) as error:
        assert error.reply_code == code and text in error.reply_text, error
        return
    raise AssertionError(f"{code} {text} did not come")


def drain(channel, queue, auto_ack=True):
    bodies = []
    while True:
        method, _, body = channel.basic_get(queue, auto_ack)
        if method is None:
            return bodies
        bodies.append(body)


def arrive(connection, deliveries, count):
    """Waits for deliveries, and as long again as a further one might take."""
    until = time.monotonic() + 10
    while len(deliveries) < count and time.monotonic() < until:
        connection.process_data_events(0.1)
    connection.sleep(0.2)


def messages(connection, channel):
    for name, durable in (("log", True), ("memory", False)):
        channel = connection.channel()
        channel.queue_declare(name, durable=durable)
        channel.confirm_delivery()
        for i in range(1000):
            channel.basic_publish("", name, str(i).encode(), DURABLE)
        assert channel.queue_declare(name, durable=durable, passive=True).method.message_count == 1000
        channel.basic_qos(prefetch_count=50)
        count = 0
        for method, properties, body in channel.consume(name):
            assert body == str(count).encode() and not method.redelivered, (count, body, method)
            assert (properties.headers, properties.content_type, properties.message_id) == ({"n": 1, "text": "hällo"}, "text/plain", "m")
            count += 1
            if count < 1000:
                channel.basic_ack(method.delivery_tag)
            else:
                channel.basic_nack(method.delivery_tag, requeue=True)
                break
        channel.cancel()
        method, _, body = channel.basic_get(name)
        assert body == b"999" and method.redelivered, (name, body, method)
        channel.close()
        # What was not acknowledged returned with its channel.
        channel = connection.channel()
        method, _, body = channel.basic_get(name)
        assert body == b"999" and method.redelivered and method.message_count == 0
        channel.basic_ack(method.delivery_tag)
        assert channel.basic_get(name) == (None, None, None)
        assert channel.queue_declare(name, durable=durable, passive=True).method.message_count == 0


def routing(connection, channel):
    channel.confirm_delivery()
    channel.exchange_declare("topic", "topic", durable=True)
    channel.exchange_declare("fan", "fanout")
    channel.exchange_declare("heads", "headers")
    channel.exchange_declare("other", "fanout")
    channel.exchange_declare("main", "direct", arguments={"alternate-exchange": "other"})
    for name in ("a", "b", "rest"):
        channel.queue_declare(name, durable=name == "a")
    channel.queue_bind("a", "topic", "orders.*.new")
    channel.queue_bind("a", "topic", "orders.#")
    channel.queue_bind("b", "topic", "*.*.new")
    channel.queue_bind("a", "fan")
    channel.queue_bind("b", "fan")
    channel.queue_bind("b", "heads", arguments={"x-match": "all", "kind": "big", "n": 1})
    channel.queue_bind("rest", "other")
    channel.exchange_bind("fan", "topic", "to.fan")
    channel.basic_publish("topic", "orders.eu.new", b"1")
    channel.basic_publish("topic", "orders", b"2")
    channel.basic_publish("fan", "any", b"3")
    channel.basic_publish("topic", "to.fan", b"4")
    channel.basic_publish("heads", "", b"5", pika.BasicProperties(headers={"kind": "big", "n": 1, "more": True}))
    channel.basic_publish("heads", "", b"lost", pika.BasicProperties(headers={"kind": "big"}))
    channel.basic_publish("main", "nowhere", b"6", mandatory=True)
    channel.basic_publish("main", "nowhere", b"7", pika.BasicProperties(headers={"CC": ["cc"], "BCC": ["bcc"]}))
    assert drain(channel, "a") == [b"1", b"2", b"3", b"4"]
    assert drain(channel, "b") == [b"1", b"3", b"4", b"5"]
    assert channel.basic_get("rest", True)[2] == b"6"
    assert channel.basic_get("rest", True)[1].headers == {"CC": ["cc"]}
    try:
        channel.basic_publish("topic", "nothing.here.at.all", b"back", mandatory=True)
        raise AssertionError("It was routed.")
    except exceptions.UnroutableError as error:
        assert error.messages[0].body == b"back" and error.messages[0].method.reply_code == 312
    channel.queue_unbind("a", "fan")
    channel.basic_publish("fan", "", b"8")
    assert drain(channel, "a") == [] and drain(channel, "b") == [b"8"]
    channel.basic_publish("", "a", b"9")
    assert drain(channel, "a") == [b"9"]


def queues(connection, channel):
    name = channel.queue_declare("", exclusive=True).method.queue
    assert name.startswith("amq.gen-") and len(name) == 30, name
    other = connect()
    fails(405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue", lambda: other.channel().queue_declare(name,
        passive=True))
    channel.basic_publish("", name, b"x")
    for durable in (True, False):
        channel.queue_declare("p", durable=durable)
        for i in range(3):
            channel.basic_publish("", "p", b"x", DURABLE)
        channel.confirm_delivery()
        channel.basic_publish("", "p", b"x", DURABLE)
        tag = channel.basic_get("p")[0].delivery_tag
        assert channel.queue_purge("p").method.message_count == 3
        channel.basic_nack(tag)
        # The message that was not acknowledged stayed.
        deadline = time.monotonic() + 10
        while channel.queue_declare("p", durable=durable, passive=True).method.message_count != 1:
            assert time.monotonic() < deadline
        third = connect()
        fails(406, "queue 'p' in vhost '/' not empty", lambda: third.channel().queue_delete("p", if_empty=True))
        third.close()
        assert channel.queue_delete("p").method.message_count == 1
        # Declared again, it is empty.
        assert channel.queue_declare("p", durable=durable).method.message_count == 0
        channel.basic_publish("", "p", b"new", DURABLE)
        assert drain(channel, "p") == [b"new"]
        channel.queue_delete("p")
    channel.queue_declare("auto", auto_delete=True)
    tag = channel.basic_consume("auto", lambda *_: None)
    assert other.channel().queue_declare("auto", passive=True).method.consumer_count == 1
    channel.basic_cancel(tag)
    fails(404, "no queue 'auto' in vhost '/'", lambda: other.channel().queue_declare("auto", passive=True))
    connection.close()
    # Exclusive queues end with their connection.
    fails(404, f"no queue '{name}' in vhost '/'", lambda: other.channel().queue_declare(name, passive=True))


def consuming(connection, channel):
    for durable in (True, False):
        name = f"c{durable}"
        channel = connection.channel()
        channel.queue_declare(name, durable=durable)
        channel.confirm_delivery()
        for i in range(10):
            channel.basic_publish("", name, str(i).encode())
        channel.basic_qos(prefetch_count=3)
        got = []
        tag = channel.basic_consume(name, lambda _, method, properties, body: got.append((method.delivery_tag, body)))
        arrive(connection, got, 3)
        assert [body for _, body in got] == [b"0", b"1", b"2"], got
        channel.basic_ack(got[1][0], multiple=True)
        arrive(connection, got, 5)
        assert [body for _, body in got] == [b"0", b"1", b"2", b"3", b"4"], got
        channel.basic_cancel(tag)
        channel.basic_recover(True)
        left = []
        until = time.monotonic() + 10
        while len(left) < 8 and time.monotonic() < until:
            left += drain(channel, name)
        assert left == [str(i).encode() for i in range(2, 10)], left
        # A limit that the consumers of a channel share.
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1, global_qos=True)
        both = []
        for i in range(2):
            channel.basic_consume(name, lambda c, method, properties, body: both.append(method.delivery_tag))
        for i in range(4):
            channel.basic_publish("", name, b"x")
        arrive(connection, both, 1)
        assert len(both) == 1, both
        for i in range(1, 4):
            channel.basic_ack(both[-1])
            arrive(connection, both, i + 1)
            assert len(both) == i + 1, both
        channel.close()
    # A consumer is told that its queue is deleted.
    channel = connection.channel()
    channel.queue_declare("gone")
    cancelled = []
    channel.add_on_cancel_callback(cancelled.append)
    channel.basic_consume("gone", lambda *_: None)
    other = connect()
    other.channel().queue_delete("gone")
    until = time.monotonic() + 10
    while not cancelled and time.monotonic() < until:
        connection.process_data_events(0.1)
    assert cancelled
    # An exclusive consumer is the only one.
    channel = connection.channel()
    channel.queue_declare("alone")
    channel.basic_consume("alone", lambda *_: None, exclusive=True)
    fails(403, "queue 'alone' in vhost '/' in exclusive use", lambda: other.channel().basic_consume("alone", lambda *_: None))
    # A consumer that holds a message for too long ends; a client that knows no cancellations loses its channel.
    deaf = pika.BlockingConnection(pika.ConnectionParameters(host, int(port), "/", pika.PlainCredentials("guest", "guest"),
                                                             client_properties={"capabilities": {"consumer_cancel_notify": False}}))
    slow = deaf.channel()
    slow.queue_declare("slow", durable=True)
    slow.basic_publish("", "slow", b"m", DURABLE)
    slow.basic_consume("slow", lambda *_: None, arguments={"x-consumer-timeout": 200})
    fails(406, "delivery acknowledgement on channel 1 timed out. Timeout value used: 200 ms", slow.start_consuming)
    # Direct reply-to.
    channel = connection.channel()
    answers = []
    channel.basic_consume("amq.rabbitmq.reply-to", lambda _, method, properties, body: answers.append(body), auto_ack=True)
    channel.queue_declare("questions")
    channel.confirm_delivery()
    channel.basic_publish("", "questions", b"?", pika.BasicProperties(reply_to="amq.rabbitmq.reply-to"))
    server = other.channel()
    _, properties, _ = server.basic_get("questions", True)
    server.basic_publish("", properties.reply_to, b"!")
    until = time.monotonic() + 10
    while not answers and time.monotonic() < until:
        connection.process_data_events(0.1)
    assert answers == [b"!"]


def returns(connection, channel):
    """What a channel returns is in its old place for the next command."""
    for durable in (True, False):
        name = f"r{durable}"
        channel.queue_declare(name, durable=durable)
        for i in range(5):
            channel.basic_publish("", name, str(i).encode())
        for turn in range(30):
            tags = [channel.basic_get(name, False)[0].delivery_tag for _ in range(3)]
            if turn % 3 == 0:
                channel.basic_recover(True)
            elif turn % 3 == 1:
                channel.basic_nack(tags[-1], multiple=True, requeue=True)
            else:
                for tag in tags:
                    channel.basic_reject(tag, requeue=True)
            # The count, too, is that after the return.
            assert channel.queue_declare(name, passive=True).method.message_count == 5, turn
            method, _, body = channel.basic_get(name, False)
            assert body == b"0", (turn, body)
            channel.basic_nack(method.delivery_tag, requeue=True)
        assert drain(channel, name) == [str(i).encode() for i in range(5)]
        # A consumer returns what it had not delivered.
        for turn in range(10):
            for i in range(5):
                channel.basic_publish("", name, str(i).encode())
            tag = channel.basic_consume(name, lambda *_: None)
            channel.basic_cancel(tag)
            channel.basic_recover(True)
            bodies = drain(channel, name)
            assert bodies == [str(i).encode() for i in range(5)], (turn, bodies)


def transactions(connection, channel):
    channel.queue_declare("t", durable=True)
    channel.tx_select()
    channel.basic_publish("", "t", b"1", DURABLE)
    other = connect().channel()
    assert other.basic_get("t") == (None, None, None)
    channel.tx_rollback()
    channel.tx_commit()
    assert other.basic_get("t") == (None, None, None)
    channel.basic_publish("", "t", b"2", DURABLE)
    channel.tx_commit()
    tag = channel.basic_get("t")[0].delivery_tag
    channel.basic_ack(tag)
    channel.tx_rollback()
    channel.basic_nack(tag)
    channel.tx_commit()
    assert other.basic_get("t", True)[2] == b"2"


def dead_letters(connection, channel):
    channel.exchange_declare("dead", "fanout", durable=True)
    channel.queue_declare("letters", durable=True)
    channel.queue_bind("letters", "dead")
    channel.confirm_delivery()
    for kind, durable in (("log", True), ("memory", False)):
        for reason, arguments in (("rejected", {}), ("expired", {"x-message-ttl": 50}), ("maxlen", {"x-max-length": 1})):
            name = f"{kind}.{reason}"
            arguments["x-dead-letter-exchange"] = "dead"
            channel.queue_declare(name, durable=durable, arguments=arguments)
            channel.basic_publish("", name, b"m", DURABLE)
            if reason == "rejected":
                channel.basic_reject(channel.basic_get(name)[0].delivery_tag, requeue=False)
            if reason == "maxlen":
                channel.basic_publish("", name, b"n", DURABLE)
            until = time.monotonic() + 20
            method = None
            while method is None and time.monotonic() < until:
                method, properties, body = channel.basic_get("letters", True)
            assert method, (name, "has no dead letter")
            death = properties.headers["x-death"][0]
            assert (body, death["queue"], death["reason"], death["count"], death["routing-keys"]) == (b"m", name, reason, 1, [name]), death
            assert properties.headers["x-first-death-queue"] == name and properties.headers["n"] == 1
            # The letter is stored before the message leaves its queue.
            left = 1 if reason == "maxlen" else 0
            while channel.queue_declare(name, passive=True).method.message_count != left and time.monotonic() < until:
                time.sleep(0.01)
            assert channel.queue_declare(name, passive=True).method.message_count == left
    channel.queue_declare("limited", durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": 1,
        "x-dead-letter-exchange": "dead"})
    channel.basic_publish("", "limited", b"m", DURABLE)
    for i in range(2):
        method, properties, _ = channel.basic_get("limited")
        assert (properties.headers.get("x-delivery-count"), method.redelivered) == ((None, False), (1, True))[i], (i, properties, method)
        channel.basic_reject(method.delivery_tag, requeue=True)
        time.sleep(0.2)
    assert channel.basic_get("limited") == (None, None, None)
    assert channel.basic_get("letters", True)[1].headers["x-death"][0]["reason"] == "delivery_limit"


def errors(connection, channel):
    def on(action):
        return lambda: action(connection.channel())

    connection.channel().queue_declare("q", durable=True)
    fails(404, "NOT_FOUND - no queue 'none' in vhost '/'", on(lambda c: c.queue_declare("none", passive=True)))
    fails(404, "NOT_FOUND - no exchange 'none' in vhost '/'", on(lambda c: (c.basic_publish("none", "", b""), c.queue_declare("q",
        passive=True))))
    fails(406, "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'", on(
        lambda c: c.queue_declare("q")))
    fails(406, "unknown delivery tag 7", on(lambda c: (c.basic_ack(7), c.queue_declare("q", passive=True))))
    fails(403, "operation not permitted on the default exchange", on(lambda c: c.queue_bind("q", "", "k")))
    fails(406, "unknown exchange type 'what'", on(lambda c: c.exchange_declare("x", "what")))
    fails(406, "invalid expiration 'soon': no_integer",
          on(lambda c: (c.basic_publish("", "q", b"", pika.BasicProperties(expiration="soon")), c.queue_declare("q", passive=True))))
    fails(406, "cannot switch from confirm to tx mode", on(lambda c: (c.confirm_delivery(), c.tx_select())))
    assert connection.channel().queue_declare("q", passive=True).method.message_count == 0


def streams(connection, channel):
    channel.queue_declare("s", durable=True, arguments={"x-queue-type": "stream", "x-max-age": "7D"})
    channel.exchange_declare("events", "topic", durable=True)
    channel.queue_bind("s", "events", "#")
    channel.confirm_delivery()
    for i in range(100):
        channel.basic_publish("events", f"k.{i}", str(i).encode(), DURABLE)
    offsets = []
    for turn in range(2):
        reader = connect().channel()
        reader.basic_qos(prefetch_count=10)
        count = 0
        for method, properties, body in reader.consume("s", arguments={"x-stream-offset": "first"}):
            assert (method.exchange, method.routing_key, body) == ("events", f"k.{count}", str(count).encode()), (method, body)
            assert properties.headers["text"] == "hällo" and not method.redelivered
            offsets.append(properties.headers["x-stream-offset"])
            reader.basic_ack(method.delivery_tag)
            count += 1
            if count == 100:
                break
        reader.connection.close()
    assert offsets[:100] == offsets[100:] == sorted(set(offsets)), offsets
    reader = connect().channel()
    reader.basic_qos(prefetch_count=1)
    for method, properties, body in reader.consume("s", arguments={"x-stream-offset": offsets[70]}):
        assert (body, properties.headers["x-stream-offset"]) == (b"70", offsets[70])
        break
    reader.connection.close()
    assert channel.queue_declare("s", passive=True).method.message_count == 100
    channel.queue_delete("s")


def before_restart(connection, channel):
    channel.confirm_delivery()
    channel.exchange_declare("kept", "topic", durable=True)
    for name in ("kept", "with.dots and ümlauts_-x"):
        channel.queue_declare(name, durable=True)
        channel.queue_bind(name, "kept", "#")
    channel.queue_declare("lost")
    for i in range(10):
        channel.basic_publish("kept", "key", str(i).encode(), DURABLE)
    for i in range(3):
        channel.basic_ack(channel.basic_get("kept")[0].delivery_tag)
    channel.basic_get("kept")


def after_restart(connection, channel):
    method, properties, body = channel.basic_get("kept", True)
    assert (body, method.redelivered, method.exchange, method.routing_key) == (b"3", True, "kept", "key"), (body, method)
    assert properties.headers == {"n": 1, "text": "hällo"} and properties.delivery_mode == 2
    assert drain(channel, "kept") == [str(i).encode() for i in range(4, 10)]
    assert len(drain(channel, "with.dots and ümlauts_-x")) == 10
    channel.confirm_delivery()
    channel.basic_publish("kept", "key", b"after", DURABLE)
    assert drain(channel, "kept") == [b"after"]
    fails(404, "no queue 'lost'", lambda: channel.queue_declare("lost", passive=True))


opened = connect()
globals()[sys.argv[2]](opened, opened.channel())
print("as expected")
