using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Client;
using OrleansMq.Consumers;

namespace OrleansMq.Tests.Cluster.Messaging;

/// <summary>Requests and replies between grains.</summary>
public sealed class GrainRequestTests
{
    [Fact]
    public async Task Grain_asks_and_the_grain_of_the_key_answers_on_its_own_scheduler()
    {
        using var data = new TempDirectory();
        await using var silo = await TestSilo.StartAsync(data.Path, static silo => silo.AddOrleansMqConsumers(static options => options with
        {
            MissingTopic = MissingTopic.Create,
            Serves = static type => type == typeof(PriceGrain),
        }).AddOrleansMqClient().AddTopic("ask-replies", 1).AddResponder<string>()
            .AddRequester<string, string, string>(new() { Topic = "ask-prices", ReplyTopic = "ask-replies" }));
        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(number =>
            silo.Client.GetGrain<IBuyerGrain>($"{number % 3}").AskAsync($"fruit-{number % 4}", $"{number}"))).WaitAsync(Wait.Deadline);
        Assert.Equal(Enumerable.Range(0, 20).Select(static number => $"fruit-{number % 4} costs {number}"), answers);
        Assert.Equal("The responder of 'ask-prices' failed: no price",
            await silo.Client.GetGrain<IBuyerGrain>("0").AskAsync("fruit-0", "none").WaitAsync(Wait.Deadline));
        // A request that fails is answered, and is no dead letter.
        Assert.All((await silo.Inside.DescribeTopicAsync("ask-prices.dead-letter")).Partitions,
            static letters => Assert.Equal(0, letters.HighWatermark));
        await Wait.UntilAsync(static () => PriceGrain.RanOnItsScheduler.Count >= 41, "all calls have returned");
        Assert.All(PriceGrain.RanOnItsScheduler, Assert.True);
    }
}
