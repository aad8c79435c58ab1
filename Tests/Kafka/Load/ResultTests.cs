using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Results;
using OrleansMq.Tests.Benchmarks.Peers.Works;

namespace OrleansMq.Tests.Kafka.Load;

public sealed class ResultTests
{
    [Fact]
    public void Ratio_is_the_median_of_pair_ratios_not_the_ratio_of_medians()
    {
        var result = Result(Pair(100, 50), Pair(10, 20), Pair(300, 100));
        Assert.Equal([2, 0.5, 3], result.Ratios("produce", Figure.RecordsPerSecond));
        Assert.Equal("""
            ### a: ours and theirs

            What is done.
            Medians of 3 pairs, run in turns; the ratio is the median of the pairs' own, with the lowest and the highest.

            | | | records/s | p99 ms |
            |---|---|---|---|
            | produce | ours | 100 | 1.50 |
            |  | theirs | 50 |  |
            |  | **ratio** | **2.00** (0.50-3.00) |  |


            """.ReplaceLineEndings("\n"), ResultTable.Write([result]));
    }

    [Fact]
    public void Failed_pair_is_named()
    {
        var table = ResultTable.Write([new ComparisonResult(Comparison, [], ["Pair 1, theirs: it ended."])]);
        Assert.EndsWith("\n- Pair 1, theirs: it ended.\n\n", table, StringComparison.Ordinal);
    }

    [Fact]
    public void ProducerPerformance_result_is_its_last_line()
    {
        var output = Unwrapped("""
            200 records sent, 10.0 records/sec (0.01 MB/sec), 5.0 ms avg latency, 9.0 ms max latency.
            1000 records sent, 456789.5 records/sec (435.63 MB/sec), 1.40 ms avg latency, 250.00 ms max latency,
              1 ms 50th, 4 ms 95th, 20 ms 99th, 31 ms 99.9th.
            """);
        var figures = KafkaToolOutput.Producer(output, recordBytes: 1000)!;
        Assert.Equal([456789.5, 456.7895, 1.4, 1, 20, 31], figures.Values);
        Assert.Null(KafkaToolOutput.Producer("refused", 1000));
    }

    [Fact]
    public void ProducerPerformance_result_excludes_its_warm_up()
    {
        var output = Unwrapped("""
            100016 records sent, 19995.2 records/sec (19.07 MB/sec), 0.7 ms avg latency, 7.0 ms max latency.
            300000 records sent, 19982.5 records/sec (19.06 MB/sec), 2.20 ms avg latency, 210.00 ms max latency,
              0 ms 50th, 3 ms 95th, 60 ms 99th, 79 ms 99.9th.
            200000 steady state records sent, 19956.5 records/sec (19.03 MB/sec), 0.70 ms avg latency, 7.00 ms max latency,
              0 ms 50th, 2 ms 95th, 3 ms 99th, 5 ms 99.9th.
            """);
        Assert.Equal([19956.5, 19.9565, 0.7, 0, 3, 5], KafkaToolOutput.Producer(output, recordBytes: 1000)!.Values);
    }

    [Fact]
    public void EndToEndLatency_mean_and_percentiles_are_read()
    {
        const string Output = """
            3000	0.216
            4000	0.180
            Avg latency: 0.5553 ms
            Percentiles: 50th = 0, 99th = 4, 99.9th = 11
            """;
        Assert.Equal([0.5553, 0, 4, 11], KafkaToolOutput.EndToEnd(Output)!.Values);
        Assert.Null(KafkaToolOutput.EndToEnd("4000	0.180"));
    }

    [Fact]
    public void ConsumerPerformance_result_is_read_by_its_headings()
    {
        var output = Unwrapped("""
            start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec,
              rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec
            2026-11-20 18:00:00:000, 2026-11-20 18:00:02:000, 100.0, 50.0, 1000, 500.0, 1500, 500, 200.0, 2000.0
            """);
        var figures = KafkaToolOutput.Consumer(output)!;
        Assert.Equal(2000, figures[Figure.RecordsPerSecond]);
        Assert.Equal(209.7152, figures[Figure.MegabytesPerSecond], 4);
        Assert.Equal(1500, figures[Figure.JoinMs]);
        Assert.Null(KafkaToolOutput.Consumer(output.Split('\n')[0]));
    }

    [Fact]
    public void ShareConsumerPerformance_result_is_read_by_its_headings()
    {
        const string Output = """
            start.time, end.time, data.consumed.in.MB, MB.sec, nMsg.sec, data.consumed.in.nMsg, fetch.time.ms
            2026-11-20 18:00:00:000, 2026-11-20 18:00:02:000, 100.0000, 50.0000, 500.0000, 1000, 2000
            """;
        var figures = KafkaToolOutput.ShareConsumer(Output)!;
        Assert.Equal(500, figures[Figure.RecordsPerSecond]);
        Assert.Equal(52.4288, figures[Figure.MegabytesPerSecond], 4);
        Assert.Null(KafkaToolOutput.ShareConsumer(Output.Split('\n')[0]));
    }

    private static readonly Comparison Comparison = new("a", "What is done.", "theirs", new Contender(new Named("ours"), null!),
        new Contender(new Named("theirs"), null!));

    private static ComparisonResult Result(params PairResult[] pairs) => new(Comparison, pairs, []);

    private static PairResult Pair(double ours, double theirs) => new(
        [new Measurement("produce", new Dictionary<Figure, double> { [Figure.P99] = 1.5, [Figure.RecordsPerSecond] = ours })],
        [new Measurement("produce", new Dictionary<Figure, double> { [Figure.RecordsPerSecond] = theirs })]);

    private sealed class Named(string name) : IBrokerUnderTest
    {
        public string Name => name;

        public string? Lacks(BrokerSettings settings) => throw new NotSupportedException();

        public Task<RunningBroker> StartAsync(BrokerSettings settings, string directory, CancellationToken cancellationToken) =>
            throw new NotSupportedException();
    }

    /// <summary>Joins lines that continue with two spaces: the tools print them as one.</summary>
    private static string Unwrapped(string lines) => lines.Replace("\n  ", " ", StringComparison.Ordinal);
}
