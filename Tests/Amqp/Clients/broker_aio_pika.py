"""aio-pika over a broker: iterators, dead letters, transactions, remote calls, workers, streams. Its argument is the broker's HOST:PORT."""

import asyncio
import sys

import aio_pika
import aiormq
from aio_pika.patterns import RPC, Master

PATIENCE = 60
# For everything: the test ends the program a minute later.
PATIENCE_IN_ALL = 240


async def next_of(queue):
    message = None
    while message is None:
        message = await queue.get(timeout=PATIENCE, fail=False)
    return message


async def messages(connection, channel):
    exchange = await channel.declare_exchange("events", aio_pika.ExchangeType.TOPIC)
    queue = await channel.declare_queue("work", durable=True, arguments={
        "x-queue-type": "quorum", "x-delivery-limit": 2, "x-dead-letter-exchange": "events", "x-dead-letter-routing-key": "dead"})
    dead = await channel.declare_queue("dead", exclusive=True)
    await queue.bind(exchange, "work.#")
    await dead.bind(exchange, "dead")
    for number in range(10):
        await exchange.publish(aio_pika.Message(b"%d" % number, headers={"number": number, "nested": {"list": [1, "two"]}}), "work.new")
    received = []
    async with queue.iterator() as iterator:
        async for message in iterator:
            async with message.process():
                assert message.headers["nested"]["list"] == [1, "two"], message.headers
                received.append(int(message.body))
            if len(received) == 10:
                break
    assert received == list(range(10)), received
    await exchange.publish(aio_pika.Message(b"bad"), "work.bad")
    for _ in range(3):
        await (await next_of(queue)).reject(requeue=True)
    letter = await next_of(dead)
    assert letter.headers["x-death"][0]["reason"] == "delivery_limit", letter.headers
    await letter.ack()
    async with connection.channel(publisher_confirms=False) as transactional:
        async with transactional.transaction():
            await transactional.default_exchange.publish(aio_pika.Message(b"committed"), "work")
    message = await next_of(queue)
    assert message.body == b"committed", message.body
    await message.ack()


async def patterns(connection):
    async def multiply(*, a, b):
        return a * b

    rpc = await RPC.create(await connection.channel())
    await rpc.register("multiply", multiply, auto_delete=True)
    results = await asyncio.gather(*[rpc.call("multiply", kwargs={"a": number, "b": 2}) for number in range(50)])
    assert results == [number * 2 for number in range(50)], results
    try:
        await rpc.call("missing", kwargs={})
        raise AssertionError("a missing procedure was called")
    except aio_pika.exceptions.MessageProcessError:
        pass
    await rpc.close()

    done, all_done = [], asyncio.Event()

    async def work(*, number):
        done.append(number)
        if len(done) == 20:
            all_done.set()

    master = Master(await connection.channel())
    worker = await master.create_worker("tasks", work, auto_delete=True)
    for number in range(20):
        await master.create_task("tasks", kwargs={"number": number})
    await all_done.wait()
    assert sorted(done) == list(range(20)), done
    await worker.close()


async def refusals(connection):
    for name, arguments, expected in (("dead", {"passive": True}, aiormq.exceptions.ChannelLockedResource),
                                      ("work", {"durable": False}, aiormq.exceptions.ChannelPreconditionFailed),
                                      ("missing", {"passive": True}, aiormq.exceptions.ChannelNotFoundEntity)):
        channel = await connection.channel()
        try:
            await channel.declare_queue(name, **arguments)
            raise AssertionError(f"{name} was declared")
        except expected:
            pass


async def streams(channel):
    stream = await channel.declare_queue("stream", durable=True, arguments={"x-queue-type": "stream"})
    for number in range(10):
        await channel.default_exchange.publish(aio_pika.Message(b"%d" % number), "stream")
    received, complete = [], asyncio.Event()

    async def take(message):
        received.append((int(message.body), message.headers["x-stream-offset"]))
        await message.ack()
        if len(received) == 10:
            complete.set()

    tag = await stream.consume(take, arguments={"x-stream-offset": "first"})
    await complete.wait()
    assert [body for body, _ in received] == list(range(10)), received
    assert [offset for _, offset in received] == sorted({offset for _, offset in received}), received
    await stream.cancel(tag)


async def main():
    url = f"amqp://guest:guest@{sys.argv[1]}/"
    async with await aio_pika.connect_robust(url) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=10)
        await messages(connection, channel)
        await patterns(connection)
        async with await aio_pika.connect(url) as other:
            await refusals(other)
        await streams(channel)
    print("as expected")


asyncio.run(asyncio.wait_for(main(), PATIENCE_IN_ALL))
