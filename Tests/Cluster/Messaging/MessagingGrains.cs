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

    public async Task ConsumeAsync(string value, ConsumedRecord record, CancellationToken cancellationToken)
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

public interface IAnnouncerGrain : IGrainWithStringKey
{
    Task AnnounceAsync(string about, string news, CancellationToken cancellationToken);
}

/// <summary>Publishes to all silos.</summary>
public sealed class AnnouncerGrain(IProducer<string, string> producer) : Grain, IAnnouncerGrain
{
    public Task AnnounceAsync(string about, string news, CancellationToken cancellationToken) =>
        producer.SendAsync(new("tell-news", about, news), cancellationToken).AsTask();
}

public interface IListenerGrain : IGrainWithStringKey
{
    Task HearAsync(string news);
    Task<string[]> HeardAsync();
}

/// <summary>Is told of news by its silo.</summary>
public sealed class ListenerGrain : Grain, IListenerGrain
{
    private readonly List<string> _heard = [];

    public Task HearAsync(string news)
    {
        _heard.Add(news);
        return Task.CompletedTask;
    }

    public Task<string[]> HeardAsync() => Task.FromResult(_heard.ToArray());
}

/// <summary>Receives what is published, in each silo.</summary>
internal sealed class NewsHandler(IGrainFactory grains) : IMessageHandler<string, string>
{
    public async ValueTask HandleAsync(ConsumeResult<string, string> record, CancellationToken cancellationToken) =>
        await grains.GetGrain<IListenerGrain>(record.Key).HearAsync(record.Value).WaitAsync(cancellationToken);
}

public interface ISlowPriceGrain : IGrainWithStringKey;

/// <summary>Answers requests when it is told to, or never: until the handler's token is cancelled.</summary>
[Consumes("ask-slow-prices")]
public sealed class SlowPriceGrain(IResponder<string> responder) : Grain, ISlowPriceGrain, IGrainConsumer<string>
{
    /// <summary>Completes when a request is being handled, by its value.</summary>
    internal static ConcurrentDictionary<string, TaskCompletionSource> Handling { get; } = [];

    /// <summary>Lets requests be answered, by their value.</summary>
    internal static ConcurrentDictionary<string, TaskCompletionSource> Answering { get; } = [];

    /// <summary>The requests whose handler's token was cancelled.</summary>
    internal static ConcurrentQueue<string> Cancelled { get; } = [];

    public async Task ConsumeAsync(string value, ConsumedRecord record, CancellationToken cancellationToken) =>
        await responder.AnswerAsync(record.Headers, async token =>
        {
            Of(Handling, value).TrySetResult();
            try
            {
                await Of(Answering, value).Task.WaitAsync(token);
            }
            catch (OperationCanceledException)
            {
                Cancelled.Enqueue(value);
                throw;
            }
            return $"{this.GetPrimaryKeyString()} costs {value}";
        }, cancellationToken);

    internal static TaskCompletionSource Of(ConcurrentDictionary<string, TaskCompletionSource> all, string value) =>
        all.GetOrAdd(value, static _ => new(TaskCreationOptions.RunContinuationsAsynchronously));
}

public interface IBuyerGrain : IGrainWithStringKey
{
    Task<string> AskAsync(string fruit, string price);
}

public interface IHastyBuyerGrain : IGrainWithStringKey
{
    Task<string> AskAsync(string fruit, string price, TimeSpan timeout, CancellationToken cancellationToken);
}

/// <summary>Asks, with a deadline.</summary>
public sealed class HastyBuyerGrain(IRequester<string, string, string> requester) : Grain, IHastyBuyerGrain
{
    public async Task<string> AskAsync(string fruit, string price, TimeSpan timeout, CancellationToken cancellationToken)
    {
        try
        {
            return await requester.RequestAsync(fruit, price, timeout, cancellationToken);
        }
        catch (TimeoutException late)
        {
            return late.Message;
        }
    }
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

    public async Task ConsumeAsync(string currency, ConsumedRecord record, CancellationToken cancellationToken) =>
        await responder.AnswerAsync(record.Headers, _ => new($"{_prices[currency]}"), cancellationToken);
}
// end of grain
