using OrleansMq.Api;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>Clients for node, from npm: kafkajs, an independent JavaScript implementation, and @confluentinc/kafka-javascript, a native
/// module.</summary>
public sealed class NodeTests
{
    [SkippableFact]
    public async Task Kafkajs_script_succeeds()
    {
        using var packages = await NodePackages.RequireKafkajsAsync();
        await RunAsync(packages, "kafkajs.js");
    }

    [SkippableFact]
    public async Task Kafkajs_writes_and_reads_steadily()
    {
        using var packages = await NodePackages.RequireKafkajsAsync();
        await RunAsync(packages, "steady.js", "kafkajs");
    }

    [SkippableFact]
    public async Task Confluent_client_script_succeeds()
    {
        using var packages = NodePackages.RequireConfluent();
        await RunAsync(packages, "confluent.js");
    }

    [SkippableFact]
    public async Task Confluent_client_writes_and_reads_steadily()
    {
        using var packages = NodePackages.RequireConfluent();
        await RunAsync(packages, "steady.js", "confluent");
    }

    private static async Task RunAsync(NodePackages packages, string script, params string[] library)
    {
        await using var server = await KafkaServer.StartAsync();
        if (library.Length > 0)
            await server.Broker.CreateTopicAsync(new NewTopic("steady", 3));
        string[] arguments = library.Length == 0 ? [server.Address] : [.. library, server.Address, "steady", "1000"];
        var said = await ClientProgram.RunAsync(ClientProgram.Require("node"), [NodePackages.Script(script), .. arguments],
            environment: packages.Environment);
        Assert.EndsWith("as expected\n", said, StringComparison.Ordinal);
        Assert.Empty(server.Log.Lines);
    }
}
