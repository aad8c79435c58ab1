using System.Collections.Concurrent;
using Microsoft.Extensions.Logging.Abstractions;
using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>When a partition's records are held back, and which of them may run after one that is not done.</summary>
public sealed class PartitionWorkTests : IAsyncDisposable
{
    private static readonly TopicPartition s_partition = new("orders", 0);

    private readonly FetchBuffer _buffer = new(new ScriptedBroker(("orders", 1)), new ReaderOptions(), NullLogger.Instance);
    private readonly AssignedPartition _claim;

    public PartitionWorkTests()
    {
        _claim = new AssignedPartition(_buffer, s_partition, Guid.Empty);
        _claim.AllowBegin();
        _claim.Begin(ReadFrom.Offset(0));
    }

    public async ValueTask DisposeAsync()
    {
        _claim.Leave();
        await _buffer.DisposeAsync();
    }

    private PartitionWork<string, string> Work(Func<HandledRecord<string, string>, Task<bool>> handle)
    {
        var work = new PartitionWork<string, string>(_claim, _claim.Session!, 1, (_, record) => handle(record), _buffer.Wake);
        _claim.Work = work;
        return work;
    }

    private void HandOut(PartitionWork<string, string> work, long offset, int size = 1)
    {
        Assert.True(_claim.TryHandOut(_claim.Session!, offset + 1, 0));
        var record = new ConsumeResult<string, string>(s_partition, offset, 0, "", "", [], 0);
        work.Add(new HandledRecord<string, string>(_claim.Session!, 0, record, null, new byte[size], null));
    }

    [Fact]
    public async Task Large_record_that_runs_at_once_does_not_hold_its_partition()
    {
        var mayEnd = new TaskCompletionSource();
        var work = Work(async _ =>
        {
            await mayEnd.Task;
            return true;
        });
        HandOut(work, 0, size: 1 << 20);
        Assert.False(_claim.Session!.IsHeld);
        HandOut(work, 1, size: 1 << 20);
        Assert.True(_claim.Session.IsHeld);
        mayEnd.SetResult();
        await Wait.UntilAsync(() => _claim.InFlight == 0, "both records");
        Assert.False(_claim.Session.IsHeld);
        Assert.Equal(2, _claim.ToCommit()?.Offset);
    }

    [Fact]
    public async Task Successor_of_a_record_that_is_not_done_never_runs()
    {
        var isDone = new TaskCompletionSource<bool>();
        var handled = new ConcurrentQueue<long>();
        var work = Work(async record =>
        {
            handled.Enqueue(record.Record.Offset);
            return await isDone.Task;
        });
        HandOut(work, 0);
        HandOut(work, 1);
        isDone.SetResult(false); // As a retry that the drain cancels.
        await Wait.UntilAsync(() => _claim.InFlight == 0, "both records");
        HandOut(work, 2);
        Assert.Equal(0, _claim.InFlight);
        Assert.Equal([0L], handled);
        Assert.Equal(0, _claim.ToCommit()?.Offset);
    }
}
