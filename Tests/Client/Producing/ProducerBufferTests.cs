using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Producing;

public class ProducerBufferTests : ProducerFixture
{
    private const int Limit = 4000;
    private static readonly string Kilobyte = new('x', 1000);

    private ProducerOptions Small => Still with { MaxRequestSize = 1500, BufferMemory = Limit };

    [Fact]
    public async Task Senders_wait_in_order_while_the_buffer_is_full()
    {
        var gate = NewGate();
        Broker.OnProduce = _ => Reaction.Normal with { Before = gate.Task };
        await using var producer = NewProducer(Small);

        var reports = Enumerable.Range(0, 20).Select(i => producer.SendAsync(Record($"{i:00}{Kilobyte}")).AsTask()).ToArray();
        var small = producer.SendAsync(Record("small")).AsTask();
        var accepted = producer.EnqueueAsync(Record("last")).AsTask();
        Assert.InRange(producer.Statistics.BufferedBytes, 3000, Limit);
        Assert.False(accepted.IsCompleted);
        gate.SetResult();
        await Task.WhenAll([.. reports, small, accepted]).SoonAsync();
        await producer.FlushAsync().SoonAsync();

        Assert.Equal([.. Enumerable.Range(0, 20).Select(i => $"{i:00}"), "sm", "la"], Broker.Values(Topic).Select(value => value![..2]));
        Assert.Equal(0, producer.Statistics.BufferedBytes);
    }

    [Fact]
    public async Task Send_blocks_its_thread_while_the_buffer_is_full()
    {
        var gate = NewGate();
        Broker.OnProduce = _ => Reaction.Normal with { Before = gate.Task };
        await using var producer = NewProducer(Small);
        for (var i = 0; i < 3; i++)
            producer.Send(Record(Kilobyte));

        var returned = Task.Factory.StartNew(() => producer.Send(Record(Kilobyte)), TaskCreationOptions.LongRunning);
        await Wait.UntilAsync(() => Broker.Calls == 1, "the first call");
        Assert.False(returned.IsCompleted);
        gate.SetResult();

        await returned.SoonAsync();
    }

    [Fact]
    public async Task Send_cancelled_while_waiting_for_buffer_space_is_not_sent()
    {
        var gate = NewGate();
        Broker.OnProduce = _ => Reaction.Normal with { Before = gate.Task };
        await using var producer = NewProducer(Small);
        for (var i = 0; i < 3; i++)
            producer.Send(Record(Kilobyte));
        using var cancel = new CancellationTokenSource();

        var awaited = producer.SendAsync(Record("A" + Kilobyte), cancel.Token).AsTask();
        var enqueued = producer.EnqueueAsync(Record("B" + Kilobyte), _ => Assert.Fail("not sent, so not called"), cancel.Token).AsTask();
        var behind = producer.SendAsync(Record("C" + Kilobyte)).AsTask();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => awaited.SoonAsync());
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => enqueued.SoonAsync());
        gate.SetResult();
        await behind.SoonAsync();
        await producer.FlushAsync().SoonAsync();

        Assert.Equal(["x", "x", "x", "C"], Broker.Values(Topic).Select(value => value![..1]));
    }

    [Fact]
    public async Task Send_without_buffer_space_within_the_delivery_timeout_reports_not_sent()
    {
        Broker.OnGetTopic = _ => new TaskCompletionSource().Task;
        await using var producer = NewProducer(Small);
        for (var i = 0; i < 3; i++)
            producer.Send(Record(Kilobyte));

        var awaited = producer.SendAsync(Record(Kilobyte)).AsTask();
        var enqueued = producer.EnqueueAsync(Record(Kilobyte), _ => Assert.Fail("thrown, so not called")).AsTask();
        Clock.Advance(Small.DeliveryTimeout);

        var error = await Assert.ThrowsAsync<ProduceException>(() => awaited.SoonAsync());
        Assert.Equal((ErrorAction.Retry, false), (error.Action, error.MayBeWritten));
        await Assert.ThrowsAsync<ProduceException>(() => enqueued.SoonAsync());
    }

    [Fact]
    public async Task Cancelling_an_accepted_record_ends_the_wait_and_not_its_batch()
    {
        var gate = NewGate();
        await using var producer = NewProducer(Still);
        await producer.SendAsync(Record("to know the topic")).SoonAsync();
        Broker.OnProduce = _ => Reaction.Normal with { Before = gate.Task };
        using var cancel = new CancellationTokenSource();

        _ = producer.SendAsync(Record("in flight")).AsTask();
        var before = producer.SendAsync(Record("before")).AsTask();
        var cancelled = producer.SendAsync(Record("cancelled"), cancel.Token).AsTask();
        var after = producer.SendAsync(Record("after")).AsTask();
        await cancel.CancelAsync();
        var error = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled.SoonAsync());
        gate.SetResult();

        Assert.Equal(cancel.Token, error.CancellationToken);
        Assert.Equal(2, (await before.SoonAsync()).Offset);
        Assert.Equal(4, (await after.SoonAsync()).Offset);
        Assert.Equal(["in flight", "before", "cancelled", "after"], Broker.Values(Topic).Skip(1));
    }

    [Fact]
    public async Task Cancelled_token_sends_nothing()
    {
        await using var producer = NewProducer();
        var cancelled = new CancellationToken(canceled: true);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => producer.SendAsync(Record(1), cancelled).AsTask());
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => producer.EnqueueAsync(Record(1), null, cancelled).AsTask());
        Assert.ThrowsAny<OperationCanceledException>(() => producer.Send(Record(1), cancelled));
        await producer.FlushAsync().SoonAsync();

        Assert.Empty(Broker.Log(Topic));
    }

    [Fact]
    public async Task Many_senders_with_a_small_buffer_neither_lose_nor_duplicate()
    {
        await using var producer = NewProducer(Quick with { MaxRequestSize = 1024, BufferMemory = 2000, BatchSize = 1024 });

        var senders = Enumerable.Range(0, 16).Select(sender => Task.Run(async () =>
        {
            for (var i = 0; i < 200; i++)
            {
                if (i % 3 == 0)
                    await producer.EnqueueAsync(Record($"{sender} {i}"));
                else
                    await producer.SendAsync(Record($"{sender} {i}"));
            }
        }));
        await Task.WhenAll(senders).SoonAsync();
        await producer.FlushAsync().SoonAsync();

        var bySender = Broker.Values(Topic).Select(value => value!.Split(' ')).ToLookup(parts => parts[0], parts => parts[1]);
        Assert.Equal(16, bySender.Count);
        Assert.All(bySender, sender => Assert.Equal(Numbers(0, 200), sender));
        Assert.Equal(0, producer.Statistics.BufferedBytes);
    }
}
