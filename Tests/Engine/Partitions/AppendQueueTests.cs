using OrleansMq.Partitions;

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

    private QueueOutcome Add(Memory<byte> batch)
    {
        var operation = _pool.Rent();
        operation.Batch = batch;
        return _queue.TryAdd(operation);
    }
}
