using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.CommandLine;

/// <summary><c>omq quota</c> against a real broker.</summary>
public sealed class QuotaTests(StandaloneBroker standalone) : IClassFixture<StandaloneBroker>
{
    [Fact]
    public async Task Quota_is_set_listed_seen_in_use_and_removed()
    {
        Assert.StartsWith("No quotas.", (await OmqAsync("quota list")).Text, StringComparison.Ordinal);
        Assert.Contains("user 'alice', client-id 'importer': request_percentage=12.5",
            (await OmqAsync("quota set --user alice --client-id importer request_percentage=12.5")).Text, StringComparison.Ordinal);
        await OmqAsync("quota set --user <default> producer_byte_rate=1000000 consumer_byte_rate=2000000");
        await OmqAsync("quota set --ip 10.0.0.7 connection_creation_rate=5");
        var listed = (await OmqAsync("quota list")).Lines;
        Assert.Equal(5, listed.Length);
        Assert.Contains(listed, static line => line.StartsWith("<default>", StringComparison.Ordinal)
            && line.TrimEnd().EndsWith("2000000", StringComparison.Ordinal));
        Assert.Contains("Name whom", (await standalone.Broker.OmqAsync(["quota", "set", "producer_byte_rate=1"])).Expect(2).Error,
            StringComparison.Ordinal);
        Assert.Contains("is no limit", (await standalone.Broker.OmqAsync(["quota", "set", "--user", "a", "fast"])).Expect(2).Error,
            StringComparison.Ordinal);
        Assert.Contains("producer_byte_rate", (await standalone.Broker.OmqAsync(["quota", "set", "--user", "a", "fast=1"])).Expect(1).Error,
            StringComparison.Ordinal);

        await OmqAsync("topic create measured");
        await standalone.Broker.OmqAsync(["produce", "measured"], "one\n"u8.ToArray());
        Assert.Contains((await OmqAsync("quota usage")).Lines, static line => line.StartsWith("ANONYMOUS", StringComparison.Ordinal)
            && line.Contains("producer_byte_rate", StringComparison.Ordinal));

        await OmqAsync("quota remove --user <default> producer_byte_rate consumer_byte_rate");
        await OmqAsync("quota remove --user alice --client-id importer request_percentage");
        await OmqAsync("quota remove --ip 10.0.0.7 connection_creation_rate");
        Assert.StartsWith("No quotas.", (await OmqAsync("quota list")).Text, StringComparison.Ordinal);
    }

    private async Task<Outcome> OmqAsync(string arguments) =>
        (await standalone.Broker.OmqAsync(arguments.Split(' '))).Expect(0);
}
