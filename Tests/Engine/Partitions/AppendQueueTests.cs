using OrleansMq.Partitions;
using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Partitions;

public sealed class AppendQueueTests
{
    private readonly AppendOperationPool _pool = new();
    private readonly AppendQueue _queue = new();

    [Fact]
    public void Large_batch_is_added_while_small_ones_fill_the_queue_again_and_again()
    {
        var small = new byte[1 << 20];
        var waiting = 0;
        while (Add(small) != QueueOutcome.Full)
            waiting++;
        Assert.Equal(AppendQueue.MaxBytes, (long)waiting * small.Length);
        // A round leaves room for a small batch, which others would take.
        var round = new AppendRound();
        _queue.TakeRound(round);
        Assert.Single(round.Operations);
        Assert.Equal(QueueOutcome.Added, Add(new byte[10 << 20]));
        Assert.Equal(QueueOutcome.Full, Add(small));
    }

    [Fact]
    public void Control_batch_is_added_while_producers_fill_the_queue()
    {
        while (Add(new byte[1 << 20]) != QueueOutcome.Full)
        {
        }
        using var builder = new RecordBatchBuilder();
        CursorControlRecord.AddTo(builder, 1, [new CursorRemoval(0, Guid.NewGuid())]);
        var control = builder.Build();
        Assert.Equal(QueueOutcome.Added, Add(control, RecordBatchHeader.Read(control.Span)));
        Assert.Equal(QueueOutcome.Full, Add(new byte[1]));
    }

    private QueueOutcome Add(Memory<byte> batch, RecordBatchHeader header = default)
    {
        var operation = _pool.Rent();
        operation.Batch = batch;
        operation.Header = header;
        return _queue.TryAdd(operation);
    }
}
