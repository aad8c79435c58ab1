using System.Text.Json;
using OrleansMq.Tests.ProcessClusters.Steady;
using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.ProcessClusters;

/// <summary>Third-party Kafka clients, and a cluster of three silos that loses one under each of them.</summary>
[Collection(SharedCluster.Name)]
public sealed class KafkaClientTests(SharedCluster shared)
{
    private const int Records = 6000;

    // Over the same library as the first client of .NET.
    private static readonly string[] OfTheSameLibrary = ["confluent-kafka", "kafka-javascript", "kcat"];

    public static TheoryData<string> Clients => [.. SteadyClient.All.Keys.Except(OfTheSameLibrary)];

    public static TheoryData<string> OtherClients => [.. SteadyClient.All.Keys.Intersect(OfTheSameLibrary)];

    [SkippableTheory]
    [MemberData(nameof(Clients))]
    public Task Kafka_client_survives_the_kill_of_a_leader_and_coordinator_and_reads_every_record(string client) => SurvivesAsync(client);

    [SkippableTheory]
    [Trait("Category", "Long")]
    [MemberData(nameof(OtherClients))]
    public Task Client_of_the_same_library_survives_the_kill_of_a_leader_and_coordinator(string client) => SurvivesAsync(client);

    private async Task SurvivesAsync(string client)
    {
        var cluster = await shared.UpAsync();
        var topic = $"numbers-{client}";
        (await cluster.OmqAsync(["topic", "create", topic, "--partitions", "3", "--replication-factor", "3"])).Expect(0);
        var leaders = await cluster.LedAsync(topic);
        await using var running = await SteadyClient.All[client](new SteadyTarget(cluster.Kafka, topic, Records));
        await running.UnderWayAsync();
        var coordinator = Json(await cluster.OmqAsync(["group", "describe", topic, "--json"])).GetProperty("coordinator").GetInt32();
        Assert.Contains(coordinator, leaders);

        cluster.Kill(coordinator);
        try
        {
            await running.EndAsync();
        }
        finally
        {
            // The next client must find three brokers again.
            await cluster.RestartedAsync(coordinator);
        }

        var stored = await cluster.StoredAsync(topic);
        Assert.Equal(Enumerable.Range(0, Records).Select(static number => $"{number}").Order(StringComparer.Ordinal),
            (client == SteadyClient.AtLeastOnce ? stored.Distinct() : stored).Order(StringComparer.Ordinal));
        await cluster.HealthyAsync();
    }

    private static JsonElement Json(Outcome outcome) => JsonSerializer.Deserialize<JsonElement>(outcome.Expect(0).Text);
}
