using System.Collections.Concurrent;
using System.Diagnostics;
using OrleansMq.Api;
using OrleansMq.Records;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Load;

/// <summary>Appends one record with acks=all every few milliseconds, without waiting for earlier answers, to measure how long a partition
/// is unavailable for writes. Its records have no idempotent producer, so that no append waits for another and none is retried.</summary>
internal sealed class AvailabilityProbe(Func<IBroker> brokers, TopicPartition partition, Ledger ledger, PartitionHistory history,
    TimeSpan interval)
{
    // As many appends as are sent within one request timeout: those stuck at an unresponsive broker must not delay the others. Above this
    // limit the machine is too slow to measure anything.
    private const int MaxUnanswered = 200;

    private readonly int _producer = ledger.NewProducer(isOrdered: false);
    private readonly ConcurrentQueue<Success> _successes = new();

    /// <summary>An acknowledged append: its send and answer times, as stopwatch timestamps.</summary>
    public readonly record struct Success(long Sent, long Answered);

    public int Partition => partition.Partition;

    /// <summary>The most recent failure of a probe.</summary>
    public string? LastFailure { get; private set; }

    /// <summary>The acknowledged appends, nearly in time order.</summary>
    public IReadOnlyCollection<Success> Successes => _successes;

    /// <summary>The time from <paramref name="moment"/> to the first answer to an append sent after it. Null if there is none.</summary>
    public TimeSpan? TimeToNextSuccess(long moment)
    {
        long? first = null;
        foreach (var success in _successes)
        {
            if (success.Sent >= moment && (first is null || success.Answered < first))
                first = success.Answered;
        }
        return first is { } answered ? Stopwatch.GetElapsedTime(moment, answered) : null;
    }

    /// <summary>The longest time between two answers since <paramref name="moment"/>, including the time before the first.</summary>
    public TimeSpan LongestSilence(long moment)
    {
        var (last, longest) = (moment, 0L);
        foreach (var answered in _successes.Select(success => success.Answered).Where(answered => answered > moment).Order())
            (last, longest) = (answered, Math.Max(longest, answered - last));
        return Stopwatch.GetElapsedTime(0, longest);
    }

    /// <summary>Appends until it is stopped, then waits for outstanding answers.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        using var ticks = new PeriodicTimer(interval);
        var unanswered = new HashSet<Task>();
        try
        {
            while (await ticks.WaitForNextTickAsync(stop))
            {
                unanswered.RemoveWhere(task => task.IsCompleted);
                if (unanswered.Count < MaxUnanswered)
                    unanswered.Add(AppendAsync());
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            await Task.WhenAll(unanswered);
        }
    }

    private async Task AppendAsync()
    {
        var id = ledger.Send(partition.Partition, _producer);
        var batch = BatchOf(RecordValue.Of(id, RecordValue.MinSize));
        var sent = Stopwatch.GetTimestamp();
        var answer = await brokers().ProduceAsync(partition, batch, Acks.All);
        if (answer.Error != ErrorCode.None)
        {
            LastFailure = $"{answer.Error}: {answer.Message} ({DateTime.UtcNow:HH:mm:ss.fff})";
            return;
        }
        _successes.Enqueue(new Success(sent, Stopwatch.GetTimestamp()));
        ledger.Acknowledge(partition.Partition, id, answer.BaseOffset);
        history.Saw(answer.BaseOffset, id, "the probe");
    }

    private static byte[] BatchOf(byte[] value)
    {
        using var builder = new RecordBatchBuilder();
        builder.Add(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), default, false, value, true);
        return builder.Build().ToArray();
    }
}
