using OrleansMq.Api;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Client;

namespace OrleansMq.Cli.Benchmark;

/// <summary>One benchmark: a broker, a warm-up topic, a measured topic, and a raw write for comparison.</summary>
internal static class BenchRun
{
    /// <summary>A value contains its send time, from which the latency is measured.</summary>
    public const int MinRecordSize = 8;

    // Enough for the code of client and broker to be compiled and optimized, and still quick.
    private const long MaxWarmUpRecords = 200_000;

    /// <summary>Runs a benchmark against the broker at <paramref name="servers"/>, or against a private one if that is null.</summary>
    public static async Task<BenchReport> RunAsync(BenchMode mode, BenchSettings settings, IReadOnlyList<Uri>? servers,
        CancellationToken cancellationToken)
    {
        var own = servers is null ? await PrivateBroker.StartAsync(settings.Flush, cancellationToken).ConfigureAwait(false) : null;
        try
        {
            using var broker = new HttpBroker(servers ?? [own!.Address]);
            var warmUp = settings with { Records = Math.Clamp(settings.Records / 10, 1, MaxWarmUpRecords), Rate = 0 };
            await MeasureAsync(broker, mode, warmUp, cancellationToken).ConfigureAwait(false);
            var phases = await MeasureAsync(broker, mode, settings, cancellationToken).ConfigureAwait(false);
            var directory = own?.Directory ?? Path.GetTempPath();
            var raw = RawWrite.Measure(directory, settings.TotalBytes, settings.BatchSize, cancellationToken);
            return new BenchReport(mode.ToString().ToLowerInvariant(), broker.BaseAddress.ToString(), own is not null, settings, phases,
                raw);
        }
        finally
        {
            if (own is not null)
                await own.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Measures on a topic of its own, which is deleted afterwards.</summary>
    private static async Task<List<BenchPhase>> MeasureAsync(HttpBroker broker, BenchMode mode, BenchSettings settings,
        CancellationToken cancellationToken)
    {
        var topic = $"bench-{Guid.NewGuid():n}";
        await broker.CreateTopicAsync(new NewTopic(topic, settings.Partitions), cancellationToken).ConfigureAwait(false);
        try
        {
            var (sender, receiver) = (new BenchSender(broker, topic, settings), new BenchReceiver(broker, topic, settings));
            switch (mode)
            {
                case BenchMode.Produce:
                    return [await sender.RunAsync(cancellationToken).ConfigureAwait(false)];
                case BenchMode.Consume:
                    await sender.RunAsync(cancellationToken).ConfigureAwait(false);
                    return [(await receiver.RunAsync(cancellationToken).ConfigureAwait(false)).Waits];
                default:
                    // The reader starts before the first record is sent.
                    using (var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken))
                    {
                        var receiving = receiver.RunAsync(either.Token);
                        var sent = await SendOrCancelAsync(sender, either).ConfigureAwait(false);
                        return [sent, (await receiving.ConfigureAwait(false)).EndToEnd];
                    }
            }
        }
        finally
        {
            await broker.DeleteTopicAsync(topic, CancellationToken.None).ConfigureAwait(false);
        }
    }

    /// <summary>Sends the records. On failure, cancels the reader, which would wait for records that are never sent.</summary>
    private static async Task<BenchPhase> SendOrCancelAsync(BenchSender sender, CancellationTokenSource either)
    {
        try
        {
            return await sender.RunAsync(either.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is CommandFailedException or BrokerException)
        {
            await either.CancelAsync().ConfigureAwait(false);
            throw;
        }
    }
}
