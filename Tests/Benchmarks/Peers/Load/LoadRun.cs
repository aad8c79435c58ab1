using OrleansMq.Cli.Benchmark;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>Runs a load against any broker that speaks Kafka's protocol.</summary>
internal static class LoadRun
{
    /// <summary>Warms up, then measures.</summary>
    /// <exception cref="LoadFailedException">The broker returned an error or did not answer.</exception>
    /// <exception cref="OperationCanceledException">The run was cancelled.</exception>
    public static LoadResult Run(LoadOptions options, CancellationToken cancellationToken = default)
    {
        TopicLayout.CheckVersions(options.Bootstrap, options.Authorities);
        if (options.IsProduce)
            TopicLayout.Create(options.Bootstrap, options.Topic, options.Partitions, options.ReplicationFactor, options.TopicConfig,
                options.Authorities);
        var layout = TopicLayout.WaitForLeaders(options.Bootstrap, options.Topic, options.Partitions, options.Authorities);
        return options.IsProduce ? Produce(options, layout, cancellationToken) : Fetch(options, layout, cancellationToken);
    }

    private static LoadResult Produce(LoadOptions options, IReadOnlyList<LedPartition> layout, CancellationToken cancellationToken)
    {
        var now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        var batch = ProduceTemplate.Batch(options.RecordBytes, options.BatchBytes, options.Codec, now, out var recordsInBatch);
        var shares = Spread(layout, options.Connections);
        var inRequest = Math.Min(options.RequestPartitions, shares.Min(share => share.Partitions.Length));
        var template = new ProduceTemplate(options.Topic, options.Acks, batch, recordsInBatch, inRequest);
        var connections = new List<ProduceConnection>();
        try
        {
            foreach (var share in shares)
                connections.Add(new ProduceConnection(share.Endpoint, template, [.. share.Partitions.Select(partition => partition.Index)],
                    options.InFlight, options.Authorities));
            Send(options.WarmRecords, 0, new LatencyHistogram());
            var latencies = new LatencyHistogram();
            var meter = new LoadMeter(options.BrokerProcesses);
            var requests = Send(options.Records, options.Rate, latencies);
            return Result(meter, requests * template.RecordsInRequest, requests * inRequest * batch.Length, requests,
                latencies.Summarize());
        }
        finally
        {
            connections.ForEach(connection => connection.Dispose());
        }

        long Send(long records, double rate, LatencyHistogram latencies)
        {
            var requests = (records + template.RecordsInRequest - 1) / template.RecordsInRequest;
            if (requests == 0)
                return 0;
            var pace = new Pace(requests, rate / template.RecordsInRequest);
            using var cancelled = cancellationToken.Register(pace.Stop);
            if (pace.IsFixed)
                LoadThreads.RunAll(connections.Select<ProduceConnection, Action>(connection => () => connection.RunAtRate(pace, latencies)),
                    pace.Stop);
            else
                WindowedLoad.Run(connections, pace, latencies);
            cancellationToken.ThrowIfCancellationRequested();
            return requests;
        }
    }

    private static LoadResult Fetch(LoadOptions options, IReadOnlyList<LedPartition> layout, CancellationToken cancellationToken)
    {
        var offsets = TopicLayout.Offsets(options.Topic, layout, options.Authorities);
        if (offsets.Values.All(range => range.First == range.Next))
            throw new LoadFailedException($"{options.Topic} is empty: produce to it first.");
        var connections = new List<FetchConnection>();
        try
        {
            foreach (var share in Spread(layout, options.Connections, mayShare: options.Records > 0))
            {
                connections.Add(new FetchConnection(share.Endpoint, options,
                    share.Partitions.Select(partition => new ReadPartition(partition.Index, offsets[partition.Index].First,
                        offsets[partition.Index].Next))));
            }
            if (options.WarmRecords > 0)
                Read(options.WarmRecords, new LatencyHistogram());
            var latencies = new LatencyHistogram();
            var meter = new LoadMeter(options.BrokerProcesses);
            var progress = Read(options.Records, latencies);
            return Result(meter, progress.Records, progress.Bytes, latencies.Count, latencies.Summarize());
        }
        finally
        {
            connections.ForEach(connection => connection.Dispose());
        }

        FetchProgress Read(long records, LatencyHistogram latencies)
        {
            var progress = new FetchProgress(records);
            using var cancelled = cancellationToken.Register(progress.Stop);
            LoadThreads.RunAll(connections.Select<FetchConnection, Action>(connection => () => connection.Run(progress, latencies)),
                progress.Stop);
            cancellationToken.ThrowIfCancellationRequested();
            return progress;
        }
    }

    private static LoadResult Result(LoadMeter meter, long records, long bytes, long requests, Latency latency)
    {
        var (seconds, generator, broker) = meter.Read();
        return new LoadResult(records, bytes, seconds, requests, latency, generator, broker);
    }

    /// <summary>Spreads connections over the leading brokers in turn, at least one for each, and a broker's partitions over its
    /// connections. With more connections than partitions, connections share partitions if allowed; otherwise there are fewer
    /// connections.</summary>
    internal static IReadOnlyList<(string Endpoint, LedPartition[] Partitions)> Spread(IReadOnlyList<LedPartition> layout, int connections,
        bool mayShare = true)
    {
        var brokers = layout.GroupBy(partition => partition.Endpoint).Select(broker => broker.ToArray()).ToList();
        var shares = new List<(string, LedPartition[])>();
        for (var broker = 0; broker < brokers.Count; broker++)
        {
            var partitions = brokers[broker];
            var here = Math.Max(1, (connections / brokers.Count) + (broker < connections % brokers.Count ? 1 : 0));
            if (!mayShare)
                here = Math.Min(here, partitions.Length);
            for (var i = 0; i < here; i++)
                shares.Add((partitions[0].Endpoint, here <= partitions.Length ? [.. partitions.Where((_, at) => at % here == i)]
                    : [partitions[i % partitions.Length]]));
        }
        return shares;
    }
}
