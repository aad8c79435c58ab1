using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Quotas;
using OrleansMq.Tests.Kafka.Connections;

namespace OrleansMq.Tests.Kafka.Quotas;

/// <summary>Quotas are described and altered over the wire.</summary>
public sealed class QuotaApisTests : IAsyncLifetime
{
    private KafkaServer _server = null!;
    private WireClient _client = null!;

    public async Task InitializeAsync()
    {
        _server = await KafkaServer.StartAsync();
        _client = await _server.ConnectAsync();
    }

    public async Task DisposeAsync()
    {
        _client.Dispose();
        await _server.DisposeAsync();
    }

    [Fact]
    public async Task Altered_quota_is_described_until_it_is_removed()
    {
        var altered = await AlterAsync("user", "alice", "producer_byte_rate", 5_000);
        Assert.Contains("ErrorCode: 0\n", altered, StringComparison.Ordinal);
        Assert.Contains("EntityName: \"alice\"", altered, StringComparison.Ordinal);
        var described = await DescribeAsync("user", 0, "alice");
        Assert.Contains("Key: \"producer_byte_rate\"", described, StringComparison.Ordinal);
        Assert.Contains("Value: 5000", described, StringComparison.Ordinal);
        await AlterAsync("user", "alice", "producer_byte_rate", 0, ("Remove", true));
        Assert.Contains("Entries: []", await DescribeAsync("user", 0, "alice"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Validation_alone_changes_nothing()
    {
        Assert.Contains("ErrorCode: 0\n", await AlterAsync("user", "alice", "producer_byte_rate", 5_000, ("ValidateOnly", true)),
            StringComparison.Ordinal);
        Assert.Contains("ErrorCode: 42\n", await AlterAsync("user", "alice", "producer_byte_rate", -1, ("ValidateOnly", true)),
            StringComparison.Ordinal);
        Assert.Empty(_server.Broker.Quotas.List(QuotaFilter.All));
    }

    [Theory]
    [InlineData("group", "alice", "producer_byte_rate", 1.0, "group")]
    [InlineData("user", "", "producer_byte_rate", 1.0, "empty")]
    [InlineData("user", "alice", "byte_rate", 1.0, "byte_rate")]
    [InlineData("user", "alice", "producer_byte_rate", 0.0, "greater than 0")]
    [InlineData("user", "alice", "producer_byte_rate", 1.5, "whole number")]
    [InlineData("user", "alice", "connection_creation_rate", 1.0, "of an ip")]
    [InlineData("ip", "here", "connection_creation_rate", 1.0, "'here'")]
    [InlineData("ip", "10.0.0.1", "producer_byte_rate", 1.0, "of a user or client-id")]
    public async Task Impossible_quota_is_refused_with_its_reason(string type, string name, string key, double value, string reason)
    {
        var refused = await AlterAsync(type, name, key, value);
        Assert.Contains($"ErrorCode: {(short)ErrorCode.InvalidRequest}\n", refused, StringComparison.Ordinal);
        Assert.Contains(reason, refused, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("group", 0, "a")]
    [InlineData("user", 0, null)]
    [InlineData("user", 1, "a")]
    [InlineData("user", 3, null)]
    public async Task Impossible_filter_is_refused(string type, int match, string? name)
    {
        var refused = await DescribeAsync(type, match, name);
        Assert.Contains($"ErrorCode: {(short)ErrorCode.InvalidRequest}\n", refused, StringComparison.Ordinal);
        Assert.Contains("Entries: null", refused, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Strict_filter_leaves_out_entities_of_more_kinds()
    {
        await _server.LimitAsync(new QuotaEntity("alice"), QuotaKey.ProducerByteRate, 1);
        await _server.LimitAsync(new QuotaEntity("alice", "app"), QuotaKey.ProducerByteRate, 2);
        await _server.LimitAsync(new QuotaEntity(""), QuotaKey.ProducerByteRate, 3);
        Assert.Equal(["1", "2", "3"], Values(await DescribeAsync("user", 2, null)));
        Assert.Equal(["1", "3"], Values(await DescribeAsync("user", 2, null, ("Strict", true))));
        Assert.Equal(["1"], Values(await DescribeAsync("user", 0, "alice", ("Strict", true))));
        Assert.Equal(["3"], Values(await DescribeAsync("user", 1, null, ("Strict", true))));
        Assert.Equal(["2"], Values(await DescribeAsync("client-id", 2, null)));
        Assert.Empty(Values(await DescribeAsync("ip", 2, null)));
        Assert.Equal(["1", "2", "3"], Values(await DescribeAsync("user", 2, null, ("Components", 0))));
    }

    private static string[] Values(string answer) => [.. answer.Split('\n').Select(static line => line.Trim())
        .Where(static line => line.StartsWith("Value: ", StringComparison.Ordinal)).Select(static line => line["Value: ".Length..])
        .Order()];

    private Task<string> AlterAsync(string type, string? name, string key, double value, params (string, object?)[] more) =>
        _client.AskAsync((short)ApiKey.AlterClientQuotas, 1,
            [("EntityType", type), ("EntityName", name), ("Key", key), ("Value", value), .. more]);

    private Task<string> DescribeAsync(string type, int match, string? name, params (string, object?)[] more) =>
        _client.AskAsync((short)ApiKey.DescribeClientQuotas, 1,
            [("EntityType", type), ("MatchType", match), ("Match", name), .. more]);
}
