using System.Text.Json;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.ProcessClusters;

/// <summary>Share groups by third-party clients and tools, over three silos.</summary>
[Collection(SharedCluster.Name)]
public sealed class ShareGroupTests(SharedCluster shared)
{
    private const string Groups = "org.apache.kafka.tools.consumer.group.ShareGroupCommand";

    [SkippableFact]
    [Trait("Category", "Long")]
    public async Task Kafkas_share_tools_work_over_three_silos()
    {
        ClientProgram.RequireKafka();
        var cluster = await shared.UpAsync();
        const int records = 3000;
        (await cluster.OmqAsync(["topic", "create", "share-tools", "--partitions", "6", "--replication-factor", "3"])).Expect(0);
        await cluster.LedAsync("share-tools");
        await RunAsync(cluster, "org.apache.kafka.tools.VerifiableProducer", "--topic", "share-tools", "--max-messages", $"{records}",
            "--acks", "-1");
        var said = await RunAsync(cluster, "org.apache.kafka.tools.VerifiableShareConsumer", "--topic", "share-tools", "--group-id",
            "tools", "--max-messages", $"{records}", "--acknowledgement-mode", "sync", "--offset-reset-strategy", "earliest");
        Assert.Equal(records, said.Split('\n').Where(static line => line.Contains("offsets_acknowledged", StringComparison.Ordinal))
            .Sum(static line => JsonSerializer.Deserialize<JsonElement>(line).GetProperty("count").GetInt64()));

        Assert.Contains("tools", await RunAsync(cluster, Groups, "--list"), StringComparison.Ordinal);
        var described = await RunAsync(cluster, Groups, "--describe", "--group", "tools");
        for (var partition = 0; partition < 6; partition++)
            Assert.Matches($@"tools\s+share-tools\s+{partition}\s+\d+\s+0\s", described);
        var shown = JsonSerializer.Deserialize<JsonElement>(
            (await cluster.OmqAsync(["group", "share", "tools", "--json"])).Expect(0).Text).EnumerateArray().ToArray();
        Assert.Equal((6, records, 0), (shown.Length, shown.Sum(static one => one.GetProperty("accepted").GetInt32()),
            shown.Sum(static one => one.GetProperty("lag").GetInt32())));
        var table = (await cluster.OmqAsync(["group", "describe", "tools"])).Expect(0).Text;
        Assert.Contains("protocol Share", table, StringComparison.Ordinal);
        Assert.Contains("0 records left, 0 of them in flight.", table, StringComparison.Ordinal);

        await RunAsync(cluster, Groups, "--reset-offsets", "--to-earliest", "--group", "tools", "--topic", "share-tools", "--execute");
        var measured = await RunAsync(cluster, "org.apache.kafka.tools.ShareConsumerPerformance", "--topic", "share-tools", "--group",
            "tools", "--num-records", $"{records}", "--timeout", "60000", "--threads", "3");
        Assert.Matches($@", {records}, \d+", measured);
        await RunAsync(cluster, Groups, "--delete", "--group", "tools");
        Assert.DoesNotContain("tools", await RunAsync(cluster, Groups, "--list"), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Librdkafkas_share_consumer_works_over_three_silos()
    {
        var environment = PythonPackages.RequireWheels();
        var cluster = await shared.UpAsync();
        (await cluster.OmqAsync(["topic", "create", "share-rd", "--partitions", "6", "--replication-factor", "3"])).Expect(0);
        await cluster.LedAsync("share-rd");
        Assert.Equal("as expected\n", await ClientProgram.RunAsync(PythonPackages.Python,
            [PythonPackages.Script("share_confluent.py"), cluster.Kafka, "share-rd", "rd"], environment: environment));
    }

    private static Task<string> RunAsync(RunningCluster cluster, string main, params string[] arguments) =>
        ClientProgram.JavaAsync(main, ["--bootstrap-server", cluster.Kafka, .. arguments]);
}
