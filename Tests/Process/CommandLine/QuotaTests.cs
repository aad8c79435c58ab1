using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.CommandLine;

/// <summary><c>omq quota</c> against a real broker.</summary>
public sealed class QuotaTests(StandaloneBroker standalone) : IClassFixture<StandaloneBroker>
{
    [Fact]
    public async Task Quota_is_set_listed_seen_in_use_and_removed()
    {
        Assert.Contains("user 'alice', client-id 'importer': request_percentage=12.5",
            (await OmqAsync("quota set --user alice --client-id importer request_percentage=12.5")).Text, StringComparison.Ordinal);
        await OmqAsync("quota set --user <default> controller_mutation_rate=100 consumer_byte_rate=2000000");
        var listed = (await OmqAsync("quota list")).Lines;
        Assert.Equal(4, listed.Length);
        Assert.Contains(listed, static line => line.StartsWith("<default>", StringComparison.Ordinal)
            && line.TrimEnd().EndsWith("2000000", StringComparison.Ordinal));
        Assert.Contains("Name whom", (await standalone.Broker.OmqAsync(["quota", "set", "producer_byte_rate=1"])).Expect(2).Error,
            StringComparison.Ordinal);
        Assert.Contains("producer_byte_rate", (await standalone.Broker.OmqAsync(["quota", "set", "--user", "a", "fast=1"])).Expect(1).Error,
            StringComparison.Ordinal);
        await OmqAsync("topic create measured");
        Assert.Contains((await OmqAsync("quota usage")).Lines, static line => line.StartsWith("ANONYMOUS", StringComparison.Ordinal)
            && line.Contains("controller_mutation_rate", StringComparison.Ordinal));
        await OmqAsync("quota remove --user <default> controller_mutation_rate consumer_byte_rate");
        Assert.Equal(2, (await OmqAsync("quota list")).Lines.Length);
    }

    private async Task<Outcome> OmqAsync(string arguments) =>
        (await standalone.Broker.OmqAsync(arguments.Split(' '))).Expect(0);
}
