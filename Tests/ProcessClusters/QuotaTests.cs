using System.Text;
using System.Text.Json;
using Confluent.Kafka;
using OrleansMq.Tests.Shared;
using KafkaError = Confluent.Kafka.ErrorCode;
using KafkaPartition = Confluent.Kafka.TopicPartition;

namespace OrleansMq.Tests.ProcessClusters;

/// <summary>Quotas of three silos: one broker's change holds on all, and they share the limit.</summary>
[Collection(SharedCluster.Name)]
public sealed class QuotaTests(SharedCluster shared)
{
    [SkippableFact]
    public async Task Limit_that_one_broker_takes_is_known_to_all_and_goes_where_it_is_used()
    {
        var cluster = await shared.UpAsync();
        HttpClient[] brokers = [.. cluster.Brokers.Values.Select(static broker =>
            new HttpClient { BaseAddress = new Uri(broker.GetProperty("http").GetString()!) })];
        (await cluster.OmqAsync(["topic", "create", "quotas", "--partitions", "3", "--replication-factor", "3"])).Expect(0);
        await cluster.LedAsync("quotas");
        await LimitAsync(brokers[0], "30000000");
        try
        {
            foreach (var broker in brokers)
                await UntilShownAsync(broker, "30000000");
            // The others say that they use nothing of it: without that it would have a third.
            foreach (var broker in brokers)
                await RunningCluster.UntilAsync(() => ShareAsync(broker), static share => share > 25_000_000, "nearly all of the limit");
        }
        finally
        {
            await LimitAsync(brokers[1], "null");
        }
        foreach (var broker in brokers)
        {
            await UntilShownAsync(broker, "[]");
            broker.Dispose();
        }
    }

    [SkippableFact]
    public async Task Producer_ids_are_counted_by_each_broker_and_one_change_of_the_limit_holds_on_all()
    {
        Librdkafka.Require();
        const string topic = "quotas-of-ids";
        var cluster = await shared.UpAsync();
        HttpClient[] brokers = [.. cluster.Brokers.Values.Select(static broker =>
            new HttpClient { BaseAddress = new Uri(broker.GetProperty("http").GetString()!) })];
        (await cluster.OmqAsync(["topic", "create", topic, "--partitions", "3", "--replication-factor", "3"])).Expect(0);
        Assert.Equal(3, (await cluster.LedAsync(topic)).Distinct().Count());
        await LimitIdsAsync("1");
        try
        {
            // One id writes at each broker, and no second one at any.
            for (var partition = 0; partition < 3; partition++)
                Assert.Equal(KafkaError.NoError, await WriteAsync(partition));
            for (var partition = 0; partition < 3; partition++)
                Assert.Equal(KafkaError.PolicyViolation, await WriteAsync(partition));
            await LimitIdsAsync("2");
            for (var partition = 0; partition < 3; partition++)
                Assert.Equal(KafkaError.NoError, await WriteAsync(partition));
        }
        finally
        {
            (await cluster.OmqAsync(["quota", "remove", "--client-id", topic, "producer_ids"])).Expect(0);
        }
        foreach (var broker in brokers)
        {
            await UntilShownAsync(broker, "[]");
            broker.Dispose();
        }

        async Task LimitIdsAsync(string limit)
        {
            (await cluster.OmqAsync(["quota", "set", "--client-id", topic, $"producer_ids={limit}"])).Expect(0);
            foreach (var broker in brokers)
                await UntilShownAsync(broker, $"\"producer_ids\":{limit}");
        }

        // A producer of its own, and so an id of its own.
        async Task<KafkaError> WriteAsync(int partition)
        {
            using var producer = new ProducerBuilder<Null, string>(new ProducerConfig
            {
                BootstrapServers = cluster.Kafka,
                ClientId = topic,
                EnableIdempotence = true,
            }).Build();
            try
            {
                await producer.ProduceAsync(new KafkaPartition(topic, partition), new Message<Null, string> { Value = "one" });
                return KafkaError.NoError;
            }
            catch (ProduceException<Null, string> refused)
            {
                return refused.Error.Code;
            }
        }
    }

    // A change is answered once all brokers have it, but for one that does not answer for seconds.
    private static Task UntilShownAsync(HttpClient broker, string limits) => RunningCluster.UntilAsync(
        () => broker.GetStringAsync("/api/quotas"), shown => shown.Contains(limits, StringComparison.Ordinal), $"quotas {limits}");

    private static async Task LimitAsync(HttpClient broker, string limit)
    {
        using var body = new StringContent("""{"changes": [{"user": "ANONYMOUS", "limits": {"producer_byte_rate": """ + limit + "}}]}",
            Encoding.UTF8, "application/json");
        using var response = await broker.PostAsync("/api/quotas", body);
        response.EnsureSuccessStatusCode();
    }

    // The share of the limit that a broker has, after it was used there.
    private static async Task<double> ShareAsync(HttpClient broker)
    {
        using var record = new StringContent("""{"value": "one"}""", Encoding.UTF8, "application/x-ndjson");
        using var response = await broker.PostAsync("/api/topics/quotas/records", record);
        response.EnsureSuccessStatusCode();
        return JsonSerializer.Deserialize<JsonElement>(await broker.GetStringAsync("/api/quotas/usage")).EnumerateArray()
            .Where(static one => one.GetProperty("quota").GetString() == "producer_byte_rate"
                && one.GetProperty("user").GetString() == "ANONYMOUS")
            .Select(static one => one.GetProperty("share").GetDouble()).SingleOrDefault();
    }
}
