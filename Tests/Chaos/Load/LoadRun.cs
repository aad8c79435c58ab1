using System.Diagnostics;
using OrleansMq.Api;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Load;

/// <summary>Producers, readers and probes over one topic, and their results.</summary>
internal sealed class LoadRun
{
    private static readonly TimeSpan CaughtUpPatience = TimeSpan.FromSeconds(60);

    private readonly CancellationTokenSource _stopSending = new();
    private readonly CancellationTokenSource _stopReading = new();
    private readonly LoadOptions _options;
    private readonly List<LoadProducer> _producers;
    private readonly List<LoadReader> _readers;
    private Task _sending = Task.CompletedTask;
    private Task _reading = Task.CompletedTask;

    /// <param name="options">The load.</param>
    /// <param name="broker">The broker of producers and readers; it fails over to a live broker.</param>
    /// <param name="brokers">A broker for one append of a probe; any that may be alive.</param>
    /// <param name="random">Decides where the readers restart.</param>
    public LoadRun(LoadOptions options, IBroker broker, Func<IBroker> brokers, Random random)
    {
        _options = options;
        Histories = [.. Enumerable.Range(0, options.Partitions).Select(partition => new PartitionHistory(partition, Violations))];
        _producers = [.. Enumerable.Range(0, options.Producers).Select(_ => new LoadProducer(broker, options, Ledger, Histories))];
        _readers =
            [.. Histories.Select((history, partition) => new LoadReader(broker, new TopicPartition(options.Topic, partition), Ledger,
                history,
            Violations, new Random(random.Next()), $"reader {partition}"))];
        Probes =
            [.. Histories.Select((history, partition) => new AvailabilityProbe(brokers, new TopicPartition(options.Topic, partition),
                Ledger, history,
            options.ProbeInterval))];
    }

    public Ledger Ledger { get; } = new();
    public Violations Violations { get; } = new();
    public IReadOnlyList<PartitionHistory> Histories { get; }
    public IReadOnlyList<AvailabilityProbe> Probes { get; }
    public long RecordsRead => _readers.Sum(reader => reader.RecordsRead);
    public long RecordsFailed => _producers.Sum(producer => producer.Failed);

    /// <summary>The latest errors of producers and probes, and reader errors that no fault explains.</summary>
    public IEnumerable<string> Troubles =>
        _producers.Select(producer => producer.FirstFailure).Concat(Probes.Select(probe => probe.LastFailure))
            .Concat(_readers.Select(reader => reader.Refused)).OfType<string>();

    public IEnumerable<string> RefusedReads => _readers.Select(reader => reader.Refused).OfType<string>();

    public void Start()
    {
        _sending = Task.WhenAll(_producers.Select(producer => Task.Run(() => producer.RunAsync(_stopSending.Token)))
            .Concat(Probes.Select(probe => Task.Run(() => probe.RunAsync(_stopSending.Token)))));
        _reading = Task.WhenAll(_readers.Select(reader => Task.Run(() => reader.RunAsync(_stopReading.Token))));
    }

    /// <summary>Stops sending, waits until every record is acknowledged or has failed, and then stops reading.</summary>
    public async Task StopAsync()
    {
        await _stopSending.CancelAsync();
        // A record without an outcome by then is a bug of the client library.
        await _sending.WaitAsync(_options.DeliveryTimeout + TimeSpan.FromSeconds(30));
        await _stopReading.CancelAsync();
        await _reading.WaitAsync(TimeSpan.FromSeconds(60));
    }

    /// <summary>Reads every partition from its start to its latest offset and checks it against the ledger.</summary>
    /// <returns>The high watermark of each partition.</returns>
    public async Task<IReadOnlyList<long>> ReadBackAsync(IBroker broker, CancellationToken cancellationToken)
    {
        var ends = new List<long>();
        for (var partition = 0; partition < _options.Partitions; partition++)
            ends.Add(await ReadBackAsync(broker, partition, cancellationToken));
        return ends;
    }

    private async Task<long> ReadBackAsync(IBroker broker, int partition, CancellationToken cancellationToken)
    {
        var topicPartition = new TopicPartition(_options.Topic, partition);
        var latest = await LatestAsync(broker, topicPartition, cancellationToken);
        var audit = new LogAudit(partition, Ledger, Histories[partition], Violations, "the leader");
        var empty = Stopwatch.StartNew();
        while (audit.End < latest)
        {
            var before = audit.End;
            using var fetched = await broker.FetchAsync(new FetchRequest(topicPartition, before), cancellationToken);
            if (fetched.Error.Action() == ErrorAction.Retry)
            {
                // Its leadership may be returning to the preferred replica.
                await Task.Delay(50, cancellationToken);
                continue;
            }
            if (fetched.Error != ErrorCode.None)
                throw new InvalidOperationException($"{topicPartition} cannot be read back at offset {before}: {fetched.Error}: "
                    + $"{fetched.Message}");
            audit.Take(fetched.Records);
            if (audit.End > before)
            {
                empty.Restart();
                continue;
            }
            // A new leader may not know its predecessor's high watermark yet.
            if (empty.Elapsed > CaughtUpPatience)
                throw new InvalidOperationException($"{topicPartition} has a latest offset of {latest} and nothing to read at {before}.");
            await Task.Delay(50, cancellationToken);
        }
        audit.Finish();
        return latest;
    }

    private static async Task<long> LatestAsync(IBroker broker, TopicPartition partition, CancellationToken cancellationToken)
    {
        while (true)
        {
            var latest = await broker.FindOffsetAsync(partition, OffsetSpec.Latest, cancellationToken);
            if (latest.Error == ErrorCode.None)
                return latest.Offset;
            if (latest.Error.Action() != ErrorAction.Retry)
                throw new InvalidOperationException($"{partition} has no latest offset: {latest.Error}: {latest.Message}");
            await Task.Delay(50, cancellationToken);
        }
    }
}
