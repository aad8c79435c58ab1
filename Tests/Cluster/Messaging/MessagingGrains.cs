using System.Collections.Concurrent;
using OrleansMq.Client;
using OrleansMq.Consumers;

namespace OrleansMq.Tests.Cluster.Messaging;

public interface IPriceGrain : IGrainWithStringKey;

/// <summary>Answers requests.</summary>
[Consumes("ask-prices")]
public sealed class PriceGrain(IResponder<string> responder) : Grain, IPriceGrain, IGrainConsumer<string>
{
    /// <summary>What each call ran on: the grain's own scheduler, or not.</summary>
    public static ConcurrentQueue<bool> RanOnItsScheduler { get; } = [];

    public async Task ConsumeAsync(string value, ConsumedRecord record)
    {
        var own = TaskScheduler.Current;
        await responder.AnswerAsync(record.Headers, async _ =>
        {
            var isOwn = TaskScheduler.Current == own && own != TaskScheduler.Default;
            await Task.Yield();
            RanOnItsScheduler.Enqueue(isOwn && TaskScheduler.Current == own);
            return value == "none" ? throw new InvalidOperationException("no price") : $"{this.GetPrimaryKeyString()} costs {value}";
        });
        RanOnItsScheduler.Enqueue(TaskScheduler.Current == own);
    }
}

public interface IBuyerGrain : IGrainWithStringKey
{
    Task<string> AskAsync(string fruit, string price);
}

/// <summary>Asks.</summary>
public sealed class BuyerGrain(IRequester<string, string, string> requester) : Grain, IBuyerGrain
{
    public async Task<string> AskAsync(string fruit, string price)
    {
        try
        {
            return await requester.RequestAsync(fruit, price);
        }
        catch (RequestFailedException failure)
        {
            return failure.Message;
        }
    }
}

public interface IPriceList : IGrainWithStringKey;

// grain
[Consumes("prices")]
public sealed class PriceList(IResponder<string> responder) : Grain, IPriceList, IGrainConsumer<string>
{
    private readonly Dictionary<string, decimal> _prices = new() { ["EUR"] = 0.5m };

    public async Task ConsumeAsync(string currency, ConsumedRecord record) =>
        await responder.AnswerAsync(record.Headers, _ => new($"{_prices[currency]}"));
}
// end of grain
