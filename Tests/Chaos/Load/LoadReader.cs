using OrleansMq.Api;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Load;

/// <summary>Follows one partition during the run and checks what it reads. Now and then it restarts at an offset that it has read before,
/// since a record at an offset never changes. Between reads it queries the latest offset, which never goes back.</summary>
internal sealed class LoadReader(IBroker broker, TopicPartition partition, Ledger ledger, PartitionHistory history, Violations violations,
    Random random, string who)
{
    private static readonly TimeSpan LongPoll = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan AfterAnError = TimeSpan.FromMilliseconds(100);

    // One fetch in fifty restarts the pass, so that every fault of a run is read across several times.
    private const int FetchesBetweenRereads = 50;

    private PartitionFollower _follower = new(partition.Partition, 0, ledger, history, violations, who);
    private long _recordsRead;

    /// <summary>Records read, including those read again.</summary>
    public long RecordsRead => Volatile.Read(ref _recordsRead);

    /// <summary>A refusal that no fault explains, if any.</summary>
    public string? Refused { get; private set; }

    /// <summary>Reads until it is stopped.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        try
        {
            while (true)
            {
                stop.ThrowIfCancellationRequested();
                if (!await FetchAsync(stop) | !await AskLatestAsync(stop))
                    await Task.Delay(AfterAnError, stop);
                if (random.Next(FetchesBetweenRereads) == 0)
                    _follower = new PartitionFollower(partition.Partition, random.NextInt64(_follower.Next + 1), ledger, history,
                        violations, who);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Stopped.
        }
    }

    private async Task<bool> FetchAsync(CancellationToken stop)
    {
        var asked = _follower.Next;
        using var fetched = await broker.FetchAsync(new FetchRequest(partition, asked, MaxWait: LongPoll), stop);
        if (fetched.Error != ErrorCode.None)
            return Tolerate(fetched.Error, $"fetch at {asked}: {fetched.Message}");
        Interlocked.Add(ref _recordsRead, _follower.Take(fetched));
        return true;
    }

    private async Task<bool> AskLatestAsync(CancellationToken stop)
    {
        var floor = history.VisibleEnd;
        var latest = await broker.FindOffsetAsync(partition, OffsetSpec.Latest, stop);
        if (latest.Error != ErrorCode.None)
            return Tolerate(latest.Error, $"latest: {latest.Message}");
        history.AnsweredLatest(latest.Offset, floor);
        return true;
    }

    /// <summary>Accepts retriable errors, since brokers die during a run. Any other error is a failure.</summary>
    private bool Tolerate(ErrorCode error, string what)
    {
        if (error.Action() != ErrorAction.Retry)
            Refused ??= $"{who}, {what} ({error})";
        return false;
    }
}
