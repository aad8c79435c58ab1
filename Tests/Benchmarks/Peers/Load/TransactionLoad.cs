using OrleansMq.Cli.Benchmark;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>Runs transactions of many producers, one at a time each, against a broker that leads all partitions.</summary>
internal static class TransactionLoad
{
    /// <summary>Warms up, then measures.</summary>
    /// <exception cref="LoadFailedException">The broker returned an error or did not answer.</exception>
    /// <exception cref="OperationCanceledException">The run was cancelled.</exception>
    public static TransactionResult Run(TransactionOptions options, CancellationToken cancellationToken = default)
    {
        TopicLayout.Create(options.Bootstrap, options.Topic, options.Partitions, 1, new Dictionary<string, string>(), options.Authorities);
        TopicLayout.WaitForLeaders(options.Bootstrap, options.Topic, options.Partitions, options.Authorities);
        var now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        var batch = ProduceTemplate.Batch(options.RecordBytes, options.BatchBytes, CompressionType.None, now, out var recordsInBatch);
        var producers = new List<TransactionConnection>();
        try
        {
            for (var producer = 0; producer < options.Producers; producer++)
                producers.Add(new TransactionConnection(options, producer, batch, recordsInBatch));
            Repeat(options.WarmTransactions, new LatencyHistogram(), new LatencyHistogram());
            var (end, whole) = (new LatencyHistogram(), new LatencyHistogram());
            var meter = new LoadMeter(options.BrokerProcesses);
            Repeat(options.Transactions, end, whole);
            var (seconds, _, broker) = meter.Read();
            return new TransactionResult(options.Transactions, (long)options.Transactions * options.InTransaction * recordsInBatch, seconds,
                end.Summarize(), whole.Summarize(), broker);
        }
        finally
        {
            producers.ForEach(producer => producer.Dispose());
        }

        void Repeat(int transactions, LatencyHistogram end, LatencyHistogram whole)
        {
            if (transactions == 0)
                return;
            var pace = new Pace(transactions, 0);
            using var cancelled = cancellationToken.Register(pace.Stop);
            LoadThreads.RunAll(producers.Select<TransactionConnection, Action>(producer => () => producer.Run(pace, end, whole)),
                pace.Stop);
            cancellationToken.ThrowIfCancellationRequested();
        }
    }
}
