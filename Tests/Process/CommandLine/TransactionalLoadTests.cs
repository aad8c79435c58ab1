using System.Globalization;
using System.Text.Json;
using OrleansMq.Client;
using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Process.CommandLine;

/// <summary>Transactions of Kafka's own load generator against the real program, if installed.</summary>
public sealed class TransactionalLoadTests : IDisposable
{
    private const string Topic = "load", Id = "performance";
    private const int Records = 10_000, Partitions = 3;

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [SkippableFact]
    public async Task Kafkas_performance_tool_commits_all_of_its_records_in_transactions()
    {
        ClientProgram.RequireKafka();
        await using var broker = await RunningBroker.UpAsync(_directory["data"], 0, "--standalone", "--kafka", "127.0.0.1:0");
        (await broker.OmqAsync(["topic", "create", Topic, "--partitions", $"{Partitions}"])).Expect(0);
        // Two seconds of load: some transactions, however slow a commit is.
        var told = await ClientProgram.JavaAsync("org.apache.kafka.tools.ProducerPerformance", ["--bootstrap-server",
            broker.Field("kafka"), "--topic", Topic, "--num-records", $"{Records}", "--payload-monotonic", "--throughput", "5000",
            "--transactional-id", Id, "--transaction-duration-ms", "200"]);
        Assert.Contains($"{Records} records sent", told, StringComparison.Ordinal);

        var read = (await broker.OmqAsync(["consume", Topic, "--isolation", "read_committed", "--idle-timeout", "2000"])).Expect(0);
        Assert.Equal(Enumerable.Range(0, Records), read.Lines.Select(static line => int.Parse(line, CultureInfo.InvariantCulture)).Order());
        Assert.Matches($"{Id} +CompleteCommit", (await broker.OmqAsync(["transaction", "list"])).Expect(0).Text);
        var open = (await broker.OmqAsync(["transaction", "list", "--open", "--json"])).Expect(0);
        Assert.Equal(0, JsonDocument.Parse(open.Output).RootElement.GetArrayLength());

        // Behind the records of each transaction there is a marker in each of its partitions.
        using var client = new HttpBroker(new Uri(broker.Url));
        var end = 0L;
        for (var partition = 0; partition < Partitions; partition++)
            end += (await client.FindOffsetAsync(new TopicPartition(Topic, partition), OffsetSpec.Latest)).Offset;
        Assert.True(end > Records + Partitions, $"The partitions end at {end} in sum: there was one transaction at most.");
    }
}
