using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Client;
using OrleansMq.Streams;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>The configuration of the topic with a provider's explicit subscriptions.</summary>
public sealed class SubscriptionTopicTests : IDisposable
{
    private const string Topic = "__streams.checked";

    private readonly TempDirectory _data = new();

    public void Dispose() => _data.Dispose();

    [Theory]
    [InlineData("delete")]
    [InlineData("compact,delete")]
    public async Task Topic_that_deletes_old_subscriptions_fails_the_start_until_it_is_altered(string policy)
    {
        await using (var before = await TestSilo.StartAsync(_data.Path))
        {
            var admin = new OrleansMqClient(before.Inside).Admin;
            await admin.CreateTopicAsync(Topic, 1, new Dictionary<string, string> { ["cleanup.policy"] = policy });
        }
        var refused = await Assert.ThrowsAnyAsync<Exception>(async () =>
        {
            await using var silo = await StartAsync();
        });
        foreach (var said in new[] { "Stream provider 'checked'", Topic, $"cleanup.policy={policy}",
            $"omq topic alter {Topic} --config cleanup.policy=compact" })
            Assert.Contains(said, refused.ToString(), StringComparison.Ordinal);
        await using (var before = await TestSilo.StartAsync(_data.Path))
            await before.Inside.AlterTopicAsync(Topic, new Dictionary<string, string?> { ["cleanup.policy"] = "compact" });
        await using var mended = await StartAsync();
        var provider = (OrleansMqStreamProvider)mended.Services.GetRequiredKeyedService<Orleans.Streams.IStreamProvider>("checked");
        await Wait.UntilAsync(() => provider.Subscriptions.IsRead, "the subscriptions are read");
    }

    [Fact]
    public async Task Topic_that_another_program_creates_after_the_start_is_refused_before_a_subscription_is_written()
    {
        await using var silo = await StartAsync();
        await new OrleansMqClient(silo.Inside).Admin.CreateTopicAsync(Topic, 1);
        var provider = (OrleansMqStreamProvider)silo.Services.GetRequiredKeyedService<Orleans.Streams.IStreamProvider>("checked");
        var refused = await Assert.ThrowsAsync<BrokerException>(() => provider.Subscriptions.WriteAsync(
            new SubscriptionKey("orders", [1], Guid.NewGuid()), null, CancellationToken.None));
        Assert.Equal(ErrorCode.InvalidConfig, refused.Code);
        refused = await Assert.ThrowsAsync<BrokerException>(() => provider.Subscriptions.CatchUpAsync(CancellationToken.None));
        Assert.Contains($"{Topic}' holds explicit subscriptions", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Topic_is_flushed_with_each_record_also_where_it_was_made_before()
    {
        await using (var before = await TestSilo.StartAsync(_data.Path))
        {
            await new OrleansMqClient(before.Inside).Admin.CreateTopicAsync(Topic, 1,
                new Dictionary<string, string> { ["cleanup.policy"] = "compact" });
        }
        await using var silo = await StartAsync();
        var provider = (OrleansMqStreamProvider)silo.Services.GetRequiredKeyedService<Orleans.Streams.IStreamProvider>("checked");
        await Wait.UntilAsync(() => provider.Subscriptions.IsRead, "the subscriptions are read");
        Assert.Equal("1", await FlushAsync());
        await silo.Inside.DeleteTopicAsync(Topic);
        await using var other = await TestSilo.StartAsync(Path.Combine(_data.Path, "other"),
            static silo => silo.AddOrleansMqStreams("checked"));
        await ((OrleansMqStreamProvider)other.Services.GetRequiredKeyedService<Orleans.Streams.IStreamProvider>("checked"))
            .Subscriptions.SettleAsync(CancellationToken.None);
        Assert.Equal("1", (await other.Inside.DescribeTopicAsync(Topic)).Configs.Single(static config => config.Name == "flush.messages")
            .Value);

        async Task<string> FlushAsync() => (await silo.Inside.DescribeTopicAsync(Topic)).Configs
            .Single(static config => config.Name == "flush.messages").Value;
    }

    private Task<TestSilo> StartAsync() => TestSilo.StartAsync(_data.Path, static silo => silo.AddOrleansMqStreams("checked",
        static options => options with { RefreshInterval = TimeSpan.FromMilliseconds(50), CheckTimeout = Wait.Deadline }));
}
