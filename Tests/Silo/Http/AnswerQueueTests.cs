using OrleansMq.Records;
using OrleansMq.Gateways.Http.Lines;

namespace OrleansMq.Tests.Silo.Http;

public sealed class AnswerQueueTests
{
    [Fact]
    public void Consecutive_records_of_one_batch_are_one_run()
    {
        var queue = new AnswerQueue();
        using var builder = new RecordBatchBuilder();
        var (a, b) = (new LineBatch(0, builder), new LineBatch(1, builder));
        foreach (var batch in new[] { a, a, a, b, a })
            queue.Add(batch);
        Assert.Equal(3, queue.Count);
        Assert.Equal([a, b, a], queue.Batches());
        Assert.Equal([(a, 3), (b, 1), (a, 1)], Drain(queue));
        Assert.Equal(0, queue.Count);
    }

    [Fact]
    public void Peeked_run_is_not_extended()
    {
        var queue = new AnswerQueue();
        using var builder = new RecordBatchBuilder();
        var batch = new LineBatch(0, builder);
        queue.Add(batch);
        Assert.True(queue.TryPeek(out _, out var count));
        Assert.Equal(1, count);
        queue.Add(batch);
        Assert.Equal([(batch, 1), (batch, 1)], Drain(queue));
    }

    [Fact]
    public void Queue_holds_a_million_runs_and_no_more()
    {
        var queue = new AnswerQueue();
        using var builder = new RecordBatchBuilder();
        var batches = new[] { new LineBatch(0, builder), new LineBatch(1, builder) };
        for (var i = 0; i < AnswerQueue.Capacity; i++)
        {
            Assert.True(queue.HasRoom);
            queue.Add(batches[i % 2]);
        }
        queue.Add(batches[0]);
        Assert.False(queue.HasRoom);
        Assert.True(queue.TryPeek(out _, out _));
        queue.Dequeue();
        Assert.True(queue.HasRoom);
    }

    private static List<(LineBatch, int)> Drain(AnswerQueue queue)
    {
        var runs = new List<(LineBatch, int)>();
        while (queue.TryPeek(out var batch, out var count))
        {
            runs.Add((batch, count));
            queue.Dequeue();
        }
        return runs;
    }
}
