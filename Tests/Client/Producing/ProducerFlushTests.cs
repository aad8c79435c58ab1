using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Producing;

public class ProducerFlushTests : ProducerFixture
{
    [Fact]
    public async Task Flush_waits_only_for_records_sent_before_it()
    {
        var (first, second) = (NewGate(), NewGate());
        await using var producer = NewProducer(Still);
        await producer.SendAsync(Record("to know the topic")).SoonAsync();
        Broker.OnProduce = call => Reaction.Normal with { Before = call.Number == 1 ? first.Task : second.Task };

        producer.Send(Record(1));
        await Wait.UntilAsync(() => Broker.Calls == 2, "the first batch");
        var flush = producer.FlushAsync();
        producer.Send(Record(2));
        Assert.False(flush.IsCompleted);
        first.SetResult();
        await flush.SoonAsync();

        Assert.Equal(["1"], Broker.Values(Topic).Skip(1));
        second.SetResult();
    }

    [Fact]
    public async Task Flush_ends_the_linger()
    {
        await using var producer = NewProducer(Still with { Linger = TimeSpan.FromHours(1), DeliveryTimeout = TimeSpan.FromHours(2) });
        producer.Send(Record(1));
        producer.Send(Record(2));

        await producer.FlushAsync().SoonAsync();

        Assert.Equal(["1", "2"], Broker.Values(Topic));
    }

    [Fact]
    public async Task Flush_waits_for_split_batches_and_records_waiting_for_metadata()
    {
        var (topic, half) = (NewGate(), NewGate());
        Broker.OnGetTopic = _ => topic.Task;
        // Whatever the first batches hold, the last records are in one that results from a split.
        var held = 0;
        Broker.OnProduce = call =>
        {
            if (call.Header.RecordCount > 2)
                return Reaction.Refuse(ErrorCode.MessageTooLarge);
            if (call.Header.LastSequence < 7)
                return Reaction.Normal;
            Volatile.Write(ref held, call.Header.RecordCount);
            return Reaction.Normal with { Before = half.Task };
        };
        await using var producer = NewProducer(Still);
        for (var i = 0; i < 8; i++)
            producer.Send(Record(i));

        var flush = producer.FlushAsync();
        topic.SetResult();
        await Wait.UntilAsync(() => Volatile.Read(ref held) is > 0 and var last && producer.Statistics.RecordsDelivered == 8 - last,
            "the last part on its way");
        await Task.WhenAny(flush, Task.Delay(20));
        Assert.False(flush.IsCompleted);
        half.SetResult();
        await flush.SoonAsync();

        Assert.Equal(Numbers(0, 8), Broker.Values(Topic));
    }

    [Fact]
    public async Task Flush_without_records_completes_at_once()
    {
        await using var producer = NewProducer();

        Assert.True(producer.FlushAsync().IsCompletedSuccessfully);
    }

    [Fact]
    public async Task Flush_does_not_throw_errors_of_records()
    {
        Broker.OnProduce = _ => Reaction.Refuse(ErrorCode.InvalidRecord);
        await using var producer = NewProducer();
        producer.Send(Record(1));

        await producer.FlushAsync().SoonAsync();

        Assert.Equal(1, producer.Statistics.RecordsFailed);
    }

    [Fact]
    public async Task Flush_can_be_cancelled()
    {
        var gate = NewGate();
        Broker.OnProduce = _ => Reaction.Normal with { Before = gate.Task };
        await using var producer = NewProducer();
        producer.Send(Record(1));
        using var cancel = new CancellationTokenSource();

        var flush = producer.FlushAsync(cancel.Token);
        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => flush.SoonAsync());
        gate.SetResult();
        await producer.FlushAsync().SoonAsync();
        Assert.Equal(["1"], Broker.Values(Topic));
    }

    [Fact]
    public async Task Dispose_drains_and_then_refuses_sends()
    {
        var delivered = 0;
        var producer = NewProducer(Quick with { Linger = TimeSpan.FromMinutes(1) });
        for (var i = 0; i < 1000; i++)
            producer.Send(Record(i), report => delivered += report.Error is null ? 1 : 0);

        await producer.DisposeAsync().SoonAsync();

        Assert.Equal(1000, delivered);
        Assert.Equal(Numbers(0, 1000), Broker.Values(Topic));
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await producer.SendAsync(Record(1)));
        Assert.Throws<ObjectDisposedException>(() => producer.Send(Record(1)));
        await producer.DisposeAsync().SoonAsync();
    }

    [Fact]
    public async Task Dispose_with_unresponsive_broker_ends_at_the_delivery_deadline()
    {
        Broker.OnProduce = _ => Reaction.Normal with { Before = new TaskCompletionSource().Task };
        var producer = NewProducer(Still);
        var failed = new List<ProduceException>();
        producer.DeliveryFailed += failed.Add;
        producer.Send(Record(1));
        await Wait.UntilAsync(() => Broker.Calls == 1, "the call");

        var disposed = producer.DisposeAsync().AsTask();
        Assert.False(disposed.IsCompleted);
        Clock.Advance(Still.DeliveryTimeout);
        await disposed.SoonAsync();

        Assert.True(Assert.Single(failed).MayBeWritten);
    }
}
