using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Quotas;
using OrleansMq.Testing;
using OrleansMq.Tests.Kafka.Codec;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Quotas;

/// <summary>Clients beyond their quotas are told so at once, and then not listened to (KIP-219).</summary>
public sealed class ThrottleTests : IAsyncLifetime
{
    private readonly ManualTimeProvider _time = new();
    private KafkaServer _server = null!;

    public static TheoryData<string> Names => [.. ApiTable.All.Select(static api => api.Key.ToString())];

    public async Task InitializeAsync()
    {
        _server = await QuotaServer.StartAsync(_time);
        await _server.Broker.CreateTopicAsync(new NewTopic("orders"));
    }

    public async Task DisposeAsync() => await _server.DisposeAsync();

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Throttle_time_is_where_the_schema_has_it(string name)
    {
        var api = ApiTable.All.Single(api => api.Key.ToString() == name);
        var (key, schema) = ((short)api.Key, Schema.Response((short)api.Key));
        await using var harness = await GatewayHarness.StartAsync();
        for (var version = api.MinDecodedVersion; version <= api.MaxVersion; version++)
        {
            var frame = new MessageEncoder(new SampleValues(key, version, harness.Orders)).Request(Schema.Request(key), version, 1, "c");
            var answer = QuotaServer.Text(key, version, await harness.AnswerAsync(frame, throttle: 77));
            Assert.Equal(schema.Fields.Any(field => field.Name == "ThrottleTimeMs" && field.Versions.Contains(version)),
                answer.Contains("ThrottleTimeMs: 77\n", StringComparison.Ordinal));
        }
    }

    [Theory]
    [InlineData("ANONYMOUS", null)]
    [InlineData("", null)]
    [InlineData(null, "test")]
    [InlineData("ANONYMOUS", "")]
    public async Task Producer_beyond_its_rate_is_answered_at_once_and_not_read_until_the_time_has_passed(string? user, string? clientId)
    {
        await _server.LimitAsync(new QuotaEntity(user, clientId), QuotaKey.ProducerByteRate, 1_000);
        using var client = await _server.ConnectAsync();
        var batch = Batch(15_000);
        Assert.Equal(0, QuotaServer.NumberOf(await ProduceAsync(client, TestBatches.Of("a")), "ThrottleTimeMs"));
        var answer = await ProduceAsync(client, batch);
        Assert.Equal(1, QuotaServer.NumberOf(answer, "BaseOffset"));
        var throttle = QuotaServer.NumberOf(answer, "ThrottleTimeMs");
        Assert.InRange(throttle, 5_000, 6_000);

        await client.SendAsync(Frames.Of((short)ApiKey.ApiVersions, 0, 1));
        var next = client.ReceiveAsync();
        // Other users are not concerned.
        using var other = await _server.ConnectAsync();
        await other.AskAsync((short)ApiKey.ApiVersions, 0);
        Assert.False(next.IsCompleted);
        var waited = await _time.AdvanceUntilAsync(next);
        Assert.InRange(waited.TotalMilliseconds, throttle - 1, double.MaxValue);
        Assert.NotNull(await next);
    }

    [Fact]
    public async Task Producer_without_answers_is_not_read()
    {
        await _server.LimitAsync(QuotaServer.Anonymous, QuotaKey.ProducerByteRate, 1_000);
        using var client = await _server.ConnectAsync();
        await client.SendAsync(Frames.Of((short)ApiKey.Produce, 9, 1, ("Acks", 0), ("Records", Batch(15_000))));
        await client.SendAsync(Frames.Of((short)ApiKey.ApiVersions, 0, 1));
        var next = client.ReceiveAsync();
        Assert.True(await _time.AdvanceUntilAsync(next) >= TimeSpan.FromSeconds(5));
        Assert.Equal(1, (await _server.Broker.FindOffsetAsync(new TopicPartition("orders", 0), OffsetSpec.Latest)).Offset);
    }

    [Fact]
    public async Task Client_that_is_held_back_for_longer_than_it_may_be_idle_stays_connected()
    {
        await using var server = await KafkaServer.StartAsync(
            options => options with { TimeProvider = _time, MaxIdle = TimeSpan.FromSeconds(2) }, time: _time);
        await server.Broker.CreateTopicAsync(new NewTopic("orders"));
        await server.LimitAsync(QuotaServer.Anonymous, QuotaKey.ProducerByteRate, 1_000);
        using var client = await server.ConnectAsync();
        Assert.InRange(QuotaServer.NumberOf(await ProduceAsync(client, Batch(15_000)), "ThrottleTimeMs"), 5_000, 6_000);
        var next = client.AskAsync((short)ApiKey.ApiVersions, 0);
        await _time.AdvanceUntilAsync(next);
        await next;
        // From then on it may be idle for no longer than others.
        var closed = client.ReceiveAsync();
        await _time.AdvanceUntilAsync(closed);
        Assert.Null(await closed);
    }

    [Fact]
    public async Task Gone_client_that_is_not_listened_to_is_let_go()
    {
        await _server.LimitAsync(QuotaServer.Anonymous, QuotaKey.ProducerByteRate, 1);
        using (var client = await _server.ConnectAsync())
            await ProduceAsync(client, Batch(15_000));
        await KafkaServer.WaitUntilAsync(() => _server.Gateway.Metrics.Connections == 0);
    }

    [Fact]
    public async Task Consumer_beyond_its_rate_gets_no_records_and_none_are_taken_from_its_account()
    {
        await _server.LimitAsync(QuotaServer.Anonymous, QuotaKey.ConsumerByteRate, 1_000);
        for (var count = 0; count < 4; count++)
            await _server.Broker.ProduceAsync(new TopicPartition("orders", 0), Batch(4_000), Acks.All);
        using var client = await _server.ConnectAsync();
        Assert.InRange(await ReadAsync(client, 0), 8_000, 8_500);
        // Of what is left not even one batch is: it comes, and is owed.
        Assert.InRange(await ReadAsync(client, 1), 4_000, 4_250);
        var refused = await FetchAsync(client, 2);
        Assert.DoesNotContain("Records", refused, StringComparison.Ordinal);
        var throttle = QuotaServer.NumberOf(refused, "ThrottleTimeMs");
        Assert.InRange(throttle, 2_000, 3_000);
        var next = FetchAsync(client, 2);
        var waited = await _time.AdvanceUntilAsync(next, TimeSpan.FromMilliseconds(throttle));
        Assert.InRange(waited.TotalMilliseconds, throttle - 1, throttle + 1_000);
        Assert.Contains("Records", await next, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Record_larger_than_a_window_is_read_and_owed()
    {
        await _server.LimitAsync(QuotaServer.Anonymous, QuotaKey.ConsumerByteRate, 100);
        await _server.Broker.ProduceAsync(new TopicPartition("orders", 0), Batch(4_000), Acks.All);
        using var client = await _server.ConnectAsync();
        Assert.Contains("Records", await FetchAsync(client, 0), StringComparison.Ordinal);
        Assert.InRange(QuotaServer.NumberOf(await FetchAsync(client, 0), "ThrottleTimeMs"), 30_000, 32_000);
    }

    [Fact]
    public async Task Producer_on_a_new_connection_waits_for_what_is_owed()
    {
        await _server.LimitAsync(QuotaServer.Anonymous, QuotaKey.ProducerByteRate, 1_000);
        using (var first = await _server.ConnectAsync())
            await ProduceAsync(first, Batch(15_000));
        using var second = await _server.ConnectAsync();
        var held = ProduceAsync(second, TestBatches.Of("a"));
        using var third = await _server.ConnectAsync();
        await third.AskAsync((short)ApiKey.ApiVersions, 0);
        Assert.InRange((await _time.AdvanceUntilAsync(held, TimeSpan.FromSeconds(5))).TotalSeconds, 5, 6);
        Assert.Equal(1, QuotaServer.NumberOf(await held, "BaseOffset"));
    }

    [Fact]
    public async Task Producer_that_owes_for_long_is_refused_on_new_connections_and_never_owes_more_than_a_minute()
    {
        await _server.LimitAsync(QuotaServer.Anonymous, QuotaKey.ProducerByteRate, 10);
        using (var first = await _server.ConnectAsync())
            Assert.Equal(60_000, QuotaServer.NumberOf(await ProduceAsync(first, Batch(15_000)), "ThrottleTimeMs"));
        using var second = await _server.ConnectAsync();
        var refused = await ProduceAsync(second, TestBatches.Of("a"));
        // Which librdkafka retries.
        Assert.Equal((short)ErrorCode.NotEnoughReplicas, QuotaServer.NumberOf(refused, "ErrorCode"));
        Assert.Contains("producer_byte_rate", refused, StringComparison.Ordinal);
        Assert.Equal(60_000, QuotaServer.NumberOf(refused, "ThrottleTimeMs"));
        using var third = await _server.ConnectAsync();
        await third.SendAsync(Frames.Of((short)ApiKey.Produce, 9, 1, ("Acks", 0), ("Records", TestBatches.Of("a"))));
        Assert.Null(await third.ReceiveAsync());
        Assert.Equal(1, (await _server.Broker.FindOffsetAsync(new TopicPartition("orders", 0), OffsetSpec.Latest)).Offset);
        var retried = ProduceAsync(second, TestBatches.Of("a"));
        Assert.InRange((await _time.AdvanceUntilAsync(retried, TimeSpan.FromSeconds(59.9))).TotalSeconds, 59, 61);
        Assert.Equal(1, QuotaServer.NumberOf(await retried, "BaseOffset"));
    }

    [Fact]
    public async Task Client_that_is_held_back_is_read_again_soon_after_its_quota_was_raised()
    {
        await _server.LimitAsync(QuotaServer.Anonymous, QuotaKey.ProducerByteRate, 10);
        using var client = await _server.ConnectAsync();
        await ProduceAsync(client, Batch(15_000));
        var next = client.AskAsync((short)ApiKey.ApiVersions, 0);
        await _server.LimitAsync(QuotaServer.Anonymous, QuotaKey.ProducerByteRate, null);
        Assert.InRange((await _time.AdvanceUntilAsync(next, TimeSpan.FromSeconds(5))).TotalSeconds, 0, 6);
    }

    [Fact]
    public async Task Producer_ids_beyond_the_quota_are_refused_and_leave_no_trace()
    {
        await _server.LimitAsync(QuotaServer.Anonymous, QuotaKey.ProducerIds, 2);
        using var client = await _server.ConnectAsync();
        for (var id = 1; id <= 2; id++)
            Assert.Equal(0, QuotaServer.NumberOf(await ProduceAsync(client, BatchOf(id, 0)), "ErrorCode"));
        var refused = await ProduceAsync(client, BatchOf(3, 0));
        Assert.Equal((short)ErrorCode.PolicyViolation, QuotaServer.NumberOf(refused, "ErrorCode"));
        Assert.Contains("producer_ids", refused, StringComparison.Ordinal);
        Assert.Equal(2, QuotaServer.NumberOf(await ProduceAsync(client, BatchOf(1, 1)), "BaseOffset"));
        Assert.Equal(3, QuotaServer.NumberOf(await ProduceAsync(client, TestBatches.Of("a")), "BaseOffset"));
        Assert.Equal(4, (await _server.Broker.FindOffsetAsync(new TopicPartition("orders", 0), OffsetSpec.Latest)).Offset);

        static byte[] BatchOf(long id, int sequence) => TestBatches.From(new ProducerIdentity(id, 0), sequence, "a");
    }

    [Theory]
    [InlineData((short)ApiKey.CreateTopics, 6)]
    [InlineData((short)ApiKey.CreateTopics, 5)]
    [InlineData((short)ApiKey.CreatePartitions, 3)]
    [InlineData((short)ApiKey.CreatePartitions, 2)]
    public async Task Impossible_number_of_partitions_takes_nothing(short key, short version)
    {
        await _server.LimitAsync(QuotaServer.Anonymous, QuotaKey.ControllerMutationRate, 1);
        using var client = await _server.ConnectAsync();
        var refused = await client.AskAsync(key, version, (ApiKey)key == ApiKey.CreateTopics
            ? [("Name", "huge"), ("NumPartitions", int.MaxValue), ("Assignments", 0), ("Configs", 0)]
            : [("Name", "orders"), ("Count", int.MaxValue), ("Assignments", null)]);
        Assert.Equal((short)ErrorCode.InvalidPartitions, QuotaServer.NumberOf(refused, "ErrorCode"));
        Assert.Equal(0, QuotaServer.NumberOf(refused, "ThrottleTimeMs"));
    }

    [Fact]
    public async Task Topics_that_are_created_by_their_name_pay_for_mutations()
    {
        await using var server = await KafkaServer.StartAsync(
            options => options with { TimeProvider = _time, AutoCreateTopics = true }, time: _time);
        await server.LimitAsync(QuotaServer.Anonymous, QuotaKey.ControllerMutationRate, 0.1);
        using var client = await server.ConnectAsync();
        Assert.Contains("ErrorCode: 0\n", await NameAsync("one"), StringComparison.Ordinal);
        Assert.Contains("ErrorCode: 0\n", await NameAsync("two"), StringComparison.Ordinal);
        var refused = await NameAsync("three");
        Assert.Contains($"ErrorCode: {(short)ErrorCode.LeaderNotAvailable}\n", refused, StringComparison.Ordinal);
        Assert.Equal(10_000, QuotaServer.NumberOf(refused, "ThrottleTimeMs"));

        // Other connections, since one that is held back is not read.
        async Task<string> NameAsync(string topic)
        {
            using var asking = await server.ConnectAsync();
            return await asking.AskAsync((short)ApiKey.Metadata, 9, ("Name", topic), ("AllowAutoTopicCreation", true));
        }
    }

    [Theory]
    [InlineData((short)ApiKey.CreateTopics, 6, 5)]
    [InlineData((short)ApiKey.CreatePartitions, 3, 2)]
    [InlineData((short)ApiKey.DeleteTopics, 5, 4)]
    public async Task Mutation_beyond_the_rate_is_refused_and_that_of_an_older_client_is_slowed(short key, short version, short older)
    {
        await _server.LimitAsync(QuotaServer.Anonymous, QuotaKey.ControllerMutationRate, 0.5);
        await _server.Broker.CreateTopicAsync(new NewTopic("many", 7));
        await _server.Broker.CreateTopicAsync(new NewTopic("grows", 1));
        using var client = await _server.ConnectAsync();
        await client.AskAsync((short)ApiKey.DeleteTopics, 5, ("TopicNames", "many"));
        var refused = await client.AskAsync(key, version, Mutation(key, "one"));
        Assert.Contains($"ErrorCode: {(short)ErrorCode.ThrottlingQuotaExceeded}\n", refused, StringComparison.Ordinal);
        Assert.Equal(4_000, QuotaServer.NumberOf(refused, "ThrottleTimeMs"));

        using var second = await _server.ConnectAsync();
        var slowed = await second.AskAsync(key, older, Mutation(key, "two"));
        Assert.Contains("ErrorCode: 0\n", slowed, StringComparison.Ordinal);
        Assert.InRange(QuotaServer.NumberOf(slowed, "ThrottleTimeMs"), 6_000, 12_000);
    }

    [Fact]
    public async Task Time_of_requests_holds_a_client_back_for_a_second_at_most()
    {
        await using var server = await KafkaServer.StartAsync(time: _time);
        await server.LimitAsync(QuotaServer.Anonymous, QuotaKey.RequestPercentage, 100);
        using var client = await server.ConnectAsync();
        Assert.Equal(0, QuotaServer.NumberOf(await client.AskAsync((short)ApiKey.Metadata, 9), "ThrottleTimeMs"));
        await server.LimitAsync(QuotaServer.Anonymous, QuotaKey.RequestPercentage, 1e-9);
        Assert.Equal(1_000, QuotaServer.NumberOf(await client.AskAsync((short)ApiKey.Metadata, 9), "ThrottleTimeMs"));
    }

    [Fact]
    public async Task Connections_beyond_the_rate_wait_and_those_that_would_wait_too_long_are_closed()
    {
        await _server.LimitAsync(new QuotaEntity(null, null, "127.0.0.1"), QuotaKey.ConnectionCreationRate, 1);
        for (var count = 0; count < 10; count++)
        {
            using var client = await _server.ConnectAsync();
            await client.AskAsync((short)ApiKey.ApiVersions, 0);
        }
        var late = new List<(WireClient Client, Task<byte[]?> Answer)>();
        for (var count = 0; count < 12; count++)
        {
            var client = await _server.ConnectAsync();
            await client.SendAsync(Frames.Of((short)ApiKey.ApiVersions, 0, 1));
            late.Add((client, client.ReceiveAsync()));
        }
        // Eleven wait for up to eleven seconds, in whatever order they were accepted.
        Assert.Null(await await Task.WhenAny(late.Select(static one => one.Answer)));
        var waiting = late.Where(static one => !one.Answer.IsCompleted).Select(static one => one.Answer).ToArray();
        Assert.Equal(11, waiting.Length);
        Assert.True(await _time.AdvanceUntilAsync(Task.WhenAny(waiting), TimeSpan.FromMilliseconds(900)) >= TimeSpan.FromMilliseconds(900));
        Assert.True(await _time.AdvanceUntilAsync(Task.WhenAll(waiting)) >= TimeSpan.FromSeconds(9));
        Assert.All(waiting, static answer => Assert.NotNull(answer.Result));
        late.ForEach(static one => one.Client.Dispose());
    }

    [Fact]
    public async Task Drain_does_not_wait_for_clients_that_are_held_back()
    {
        await _server.LimitAsync(QuotaServer.Anonymous, QuotaKey.ProducerByteRate, 1);
        await _server.LimitAsync(new QuotaEntity(null, null, "127.0.0.1"), QuotaKey.ConnectionCreationRate, 1);
        using var client = await _server.ConnectAsync();
        await ProduceAsync(client, Batch(15_000));
        for (var count = 0; count < 12; count++)
            await _server.ConnectAsync();
        await _server.Gateway.StopAsync(CancellationToken.None).WaitAsync(KafkaServer.Patience);
    }

    [Fact]
    public async Task Quota_that_is_removed_holds_nobody_back()
    {
        await _server.LimitAsync(QuotaServer.Anonymous, QuotaKey.ProducerByteRate, 1_000);
        await _server.LimitAsync(QuotaServer.Anonymous, QuotaKey.ProducerByteRate, null);
        using var client = await _server.ConnectAsync();
        Assert.Equal(0, QuotaServer.NumberOf(await ProduceAsync(client, Batch(15_000)), "ThrottleTimeMs"));
        await client.AskAsync((short)ApiKey.ApiVersions, 0);
    }

    private static (string, object?)[] Mutation(short key, string name) => (ApiKey)key switch
    {
        ApiKey.CreateTopics => [("Name", name), ("Configs", 0)],
        ApiKey.CreatePartitions => [("Name", "grows"), ("Count", 4)],
        _ => [("TopicNames", "orders")],
    };

    // The text is in key and value.
    private static byte[] Batch(int bytes) => TestBatches.Of(new string('x', bytes / 2));

    private static Task<string> ProduceAsync(WireClient client, byte[] batch) =>
        client.AskAsync((short)ApiKey.Produce, 9, ("Acks", -1), ("Records", batch));

    // The bytes of the records.
    private static async Task<long> ReadAsync(WireClient client, long offset)
    {
        var answer = await FetchAsync(client, offset);
        Assert.Equal(0, QuotaServer.NumberOf(answer, "ThrottleTimeMs"));
        return QuotaServer.NumberOf(answer.Replace(" bytes", "\n", StringComparison.Ordinal), "Records");
    }

    private static Task<string> FetchAsync(WireClient client, long offset) =>
        client.AskAsync((short)ApiKey.Fetch, 11, ("FetchOffset", offset), ("Topic", "orders"));
}
