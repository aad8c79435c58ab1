using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Tests.Shared;

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

    [Fact]
    public async Task Request_of_a_grain_ends_with_its_deadline_or_its_token_and_the_next_one_is_answered()
    {
        using var data = new TempDirectory();
        await using var silo = await TestSilo.StartAsync(data.Path, static silo => silo.AddOrleansMqConsumers(static options => options with
        {
            MissingTopic = MissingTopic.Create,
            Serves = static type => type == typeof(SlowPriceGrain),
        }).AddOrleansMqClient().AddTopic("ask-slow-replies", 1).AddResponder<string>()
            .AddRequester<string, string, string>(new() { Topic = "ask-slow-prices", ReplyTopic = "ask-slow-replies" }));
        var buyer = silo.Client.GetGrain<IHastyBuyerGrain>("ada");
        // The deadline travels with the request: it ends the wait of the grain that asks, and the work of the one that answers.
        Assert.StartsWith("No reply", await buyer.AskAsync("apple", "late", TimeSpan.FromSeconds(1), CancellationToken.None)
            .WaitAsync(Wait.Deadline), StringComparison.Ordinal);
        await Wait.UntilAsync(static () => SlowPriceGrain.Cancelled.Contains("late"), "the handler's token is cancelled");

        using var giveUp = new CancellationTokenSource();
        var asking = buyer.AskAsync("apple", "given up", TimeSpan.FromMinutes(5), giveUp.Token);
        await SlowPriceGrain.Of(SlowPriceGrain.Handling, "given up").Task.WaitAsync(Wait.Deadline);
        await giveUp.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asking).WaitAsync(Wait.Deadline);
        // Its deadline is far: what handles it may go on, and its late reply is nobody's.
        Assert.DoesNotContain("given up", SlowPriceGrain.Cancelled);
        SlowPriceGrain.Of(SlowPriceGrain.Answering, "given up").SetResult();

        SlowPriceGrain.Of(SlowPriceGrain.Answering, "7").SetResult();
        Assert.Equal("apple costs 7", await buyer.AskAsync("apple", "7", TimeSpan.FromMinutes(1), CancellationToken.None)
            .WaitAsync(Wait.Deadline));
        Assert.All((await silo.Inside.DescribeTopicAsync("ask-slow-prices.dead-letter")).Partitions,
            static letters => Assert.Equal(0, letters.HighWatermark));
    }

    [Fact]
    public async Task Broadcast_of_a_grain_comes_to_the_handler_of_each_silo_which_calls_grains_of_its_own()
    {
        using var data = new TempDirectory();
        await using var silo = await TestSilo.StartAsync(data.Path, static silo => silo.AddOrleansMqClient().AddTopic("tell-news", 2)
            .AddProducer<string, string>().AddBroadcastHandler<string, string, NewsHandler>(new() { Topic = "tell-news" }));
        var announcer = silo.Client.GetGrain<IAnnouncerGrain>("ada");
        for (var number = 0; number < 20; number++)
            await announcer.AnnounceAsync($"{number % 4}", $"{number}", CancellationToken.None);
        for (var key = 0; key < 4; key++)
        {
            var listener = silo.Client.GetGrain<IListenerGrain>($"{key}");
            await Wait.UntilAsync(async () => (await listener.HeardAsync()).Length == 5, $"the news of {key}");
            Assert.Equal(Enumerable.Range(0, 20).Where(number => number % 4 == key).Select(static number => $"{number}"),
                await listener.HeardAsync());
        }
        // A caller that has given up publishes nothing.
        using var giveUp = new CancellationTokenSource();
        await giveUp.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => announcer.AnnounceAsync("0", "never", giveUp.Token));
        await announcer.AnnounceAsync("0", "last", CancellationToken.None);
        await Wait.UntilAsync(async () => (await silo.Client.GetGrain<IListenerGrain>("0").HeardAsync()).Contains("last"), "the last one");
        Assert.DoesNotContain("never", await silo.Client.GetGrain<IListenerGrain>("0").HeardAsync());
    }

    [Fact]
    public async Task Grain_of_the_page_answers()
    {
        ReadmeSection.AssertIs("Client/OrleansMq.Client/REQUESTS.md", $"```csharp\n{ReadmeSection.Code("grain", PathOfGrains())}\n```\n",
            "<!-- grain: from MessagingGrains.cs -->", "<!-- end of grain -->");
        using var data = new TempDirectory();
        await using var silo = await TestSilo.StartAsync(data.Path, static silo => silo.AddOrleansMqConsumers(static options => options with
        {
            MissingTopic = MissingTopic.Create,
            Serves = static type => type == typeof(PriceList),
        }).AddOrleansMqClient().AddTopic("prices-replies", 1).AddResponder<string>());
        await using var requester = new OrleansMqClient(silo.Outside).CreateRequester<string, string, string>(
            new() { Topic = "prices", ReplyTopic = "prices-replies" });
        Assert.Equal("0.5", await requester.RequestAsync("apple", "EUR").WaitAsync(Wait.Deadline));
        var failure = await Assert.ThrowsAsync<RequestFailedException>(
            () => requester.RequestAsync("apple", "XYZ").WaitAsync(Wait.Deadline));
        Assert.Equal(typeof(KeyNotFoundException).FullName, failure.ErrorType);
    }

    private static string PathOfGrains([System.Runtime.CompilerServices.CallerFilePath] string path = "") =>
        Path.Combine(Path.GetDirectoryName(path)!, "MessagingGrains.cs");
}
