using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Orleans.Streams;
using OrleansMq.Streams;

namespace OrleansMq.Tests.Chaos.Subscriptions;

/// <summary>A grain with explicit subscriptions to several streams. Its key is its number.</summary>
public interface ISubscriber : IGrainWithIntegerKey
{
    /// <summary>Makes a further subscription to a stream.</summary>
    Task<Guid> SubscribeAsync(int stream);

    /// <summary>Attaches another observer to a subscription.</summary>
    Task ResumeAsync(int stream, Guid subscription);

    /// <summary>Resumes a subscription from the token of an event that this activation has observed: so many before the last one.</summary>
    Task RewindAsync(int stream, Guid subscription, int back);

    /// <summary>Removes a subscription, if there is such a one.</summary>
    Task UnsubscribeAsync(int stream, Guid subscription);

    /// <summary>Returns the subscriptions to a stream.</summary>
    Task<IReadOnlyList<Guid>> ListAsync(int stream);

    /// <summary>Ends the activation.</summary>
    Task DeactivateAsync();
}

/// <inheritdoc cref="ISubscriber"/>
internal sealed class Subscriber(SubscriptionFile file) : Grain, ISubscriber
{
    // The tokens that it keeps of each subscription.
    private const int TokensKept = 200;

    // The first attempts of this process that have failed.
    private static readonly ConcurrentDictionary<(Guid Subscription, int Number), bool> s_failed = [];

    private readonly Dictionary<Guid, Queue<StreamOffset>> _tokens = [];

    private int Number => (int)this.GetPrimaryKeyLong();

    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        foreach (var stream in SubscriptionLoad.StreamsOf(Number))
        {
            foreach (var handle in await Stream(stream).GetAllSubscriptionHandles())
                await handle.ResumeAsync(new Observer(this, stream, handle.HandleId));
        }
    }

    public async Task<Guid> SubscribeAsync(int stream)
    {
        // The first event may come before the handle.
        var observer = new Observer(this, stream, null);
        var begin = Stopwatch.GetTimestamp();
        var handle = await Stream(stream).SubscribeAsync(observer);
        Write(SubscriptionEventKind.Subscribed, begin, stream, handle.HandleId);
        observer.Subscription = handle.HandleId;
        return handle.HandleId;
    }

    public async Task ResumeAsync(int stream, Guid subscription)
    {
        if (await FindAsync(stream, subscription) is { } handle)
            await handle.ResumeAsync(new Observer(this, stream, subscription));
    }

    public async Task RewindAsync(int stream, Guid subscription, int back)
    {
        if (!_tokens.TryGetValue(subscription, out var tokens) || await FindAsync(stream, subscription) is not { } handle)
            return;
        var token = tokens.ElementAt(Math.Max(0, tokens.Count - 1 - back));
        var begin = Stopwatch.GetTimestamp();
        Write(SubscriptionEventKind.Rewinding, begin, stream, subscription, token, isOver: false);
        await handle.ResumeAsync(new Observer(this, stream, subscription), token);
        Write(SubscriptionEventKind.Rewound, begin, stream, subscription, token);
    }

    public async Task UnsubscribeAsync(int stream, Guid subscription)
    {
        var begin = Stopwatch.GetTimestamp();
        Write(SubscriptionEventKind.Leaving, begin, stream, subscription, isOver: false);
        if (await FindAsync(stream, subscription) is { } handle)
            await handle.UnsubscribeAsync();
        Write(SubscriptionEventKind.Left, begin, stream, subscription);
    }

    public async Task<IReadOnlyList<Guid>> ListAsync(int stream) =>
        [.. (await Stream(stream).GetAllSubscriptionHandles()).Select(static handle => handle.HandleId)];

    public Task DeactivateAsync()
    {
        DeactivateOnIdle();
        return Task.CompletedTask;
    }

    private IAsyncStream<int> Stream(int stream) =>
        this.GetStreamProvider(SubscriptionLoad.Provider).GetStream<int>(SubscriptionLoad.Topic, SubscriptionLoad.Key(stream));

    private async Task<StreamSubscriptionHandle<int>?> FindAsync(int stream, Guid subscription) =>
        (await Stream(stream).GetAllSubscriptionHandles()).FirstOrDefault(handle => handle.HandleId == subscription);

    private void Write(SubscriptionEventKind kind, long begin, int stream, Guid subscription, StreamOffset? at = null, int number = -1,
        bool isOver = true) => file.Write(new SubscriptionEvent(kind, begin, isOver ? Stopwatch.GetTimestamp() : begin, subscription,
            GrainContext.ActivationId.ToString(), Number, stream, at?.Partition ?? -1, at?.Offset ?? -1, number));

    private async Task ObserveAsync(int stream, Guid subscription, int number, StreamOffset at)
    {
        var begin = Stopwatch.GetTimestamp();
        if (SubscriptionLoad.Takes(number) is var time && time > TimeSpan.Zero)
            await Task.Delay(time);
        if (SubscriptionLoad.FailsFirst(number) && s_failed.TryAdd((subscription, number), true))
            throw new InvalidOperationException(string.Create(CultureInfo.InvariantCulture, $"Event {number} fails once."));
        Write(SubscriptionEventKind.Observed, begin, stream, subscription, at, number);
        if (!_tokens.TryGetValue(subscription, out var tokens))
            _tokens[subscription] = tokens = new();
        tokens.Enqueue(at);
        if (tokens.Count > TokensKept)
            tokens.Dequeue();
    }

    private sealed class Observer(Subscriber grain, int stream, Guid? subscription) : IAsyncObserver<int>
    {
        public Guid? Subscription { get; set; } = subscription;

        public Task OnNextAsync(int item, StreamSequenceToken? token = null) => grain.ObserveAsync(stream, Subscription
            ?? throw new InvalidOperationException("The call that subscribes has not returned."), item, (StreamOffset)token!);

        public Task OnErrorAsync(Exception ex) => Task.CompletedTask;
    }
}
