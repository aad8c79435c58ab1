using System.Diagnostics;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Client;

namespace OrleansMq.Cli.Benchmark;

/// <summary>Reads the records of a benchmark.</summary>
internal sealed class BenchReceiver(HttpBroker broker, string topic, BenchSettings settings)
{
    // Longer than any pause of a working broker.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>Reads all records.</summary>
    /// <returns>The same run with two latencies: that of each wait for records, and that of each record from its send to its
    /// arrival.</returns>
    public async Task<(BenchPhase Waits, BenchPhase EndToEnd)> RunAsync(CancellationToken cancellationToken)
    {
        var (waits, endToEnd) = (new LatencyHistogram(), new LatencyHistogram());
        await using var reader = new PartitionReader<Ignore, ReadOnlyMemory<byte>>(broker,
            options: new ReaderOptions { RetryTimeout = Patience });
        var start = Stopwatch.GetTimestamp();
        reader.Assign(Enumerable.Range(0, settings.Partitions).Select(partition => new TopicPartition(topic, partition)),
            ReadFrom.Earliest);
        for (var i = 0L; i < settings.Records; i++)
        {
            var record = await reader.ReadAsync(TimeSpan.Zero, cancellationToken).ConfigureAwait(false)
                ?? await WaitAsync(reader, waits, cancellationToken).ConfigureAwait(false);
            endToEnd.RecordSince(BenchValues.TimestampOf(record.Value));
        }
        var time = Stopwatch.GetElapsedTime(start);
        return (BenchPhase.Of("consume", settings.Records, settings.TotalBytes, time, "wait for the next records", waits),
            BenchPhase.Of("end-to-end", settings.Records, settings.TotalBytes, time, "send to arrival", endToEnd));
    }

    private static async ValueTask<ConsumeResult<Ignore, ReadOnlyMemory<byte>>> WaitAsync(
        PartitionReader<Ignore, ReadOnlyMemory<byte>> reader, LatencyHistogram waits, CancellationToken cancellationToken)
    {
        var asked = Stopwatch.GetTimestamp();
        var record = await reader.ReadAsync(Patience, cancellationToken).ConfigureAwait(false)
            ?? throw CommandFailedException.Refused($"No record arrived for {Patience.TotalSeconds} s.");
        waits.RecordSince(asked);
        return record;
    }
}
