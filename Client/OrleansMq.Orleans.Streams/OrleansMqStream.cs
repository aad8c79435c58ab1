using System.Runtime.Serialization;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;
using Orleans.Streams;
using Orleans.Streams.Core;

namespace OrleansMq.Streams;

/// <summary>A stream of any type of event.</summary>
internal interface IOrleansMqStream
{
    /// <summary>The provider.</summary>
    string ProviderName { get; }

    /// <summary>The stream.</summary>
    StreamId StreamId { get; }
}

/// <summary>A stream: the records of one key of a topic.</summary>
[GenerateSerializer, Immutable, Alias("omq.Stream`1"), SerializationCallbacks(typeof(OnDeserializedCallbacks))]
internal sealed class OrleansMqStream<T> : IAsyncStream<T>, IOrleansMqStream, IOnDeserialized
{
    [NonSerialized]
    private OrleansMqStreamProvider? _provider;

    public OrleansMqStream(string providerName, StreamId streamId, OrleansMqStreamProvider? provider)
    {
        (ProviderName, StreamId) = (providerName, streamId);
        _provider = provider;
    }

    /// <inheritdoc/>
    [Id(0)]
    public string ProviderName { get; private set; }

    /// <inheritdoc/>
    [Id(1)]
    public StreamId StreamId { get; private set; }

    /// <inheritdoc/>
    public bool IsRewindable => true;

    private OrleansMqStreamProvider Provider => _provider ?? throw new InvalidOperationException(
        $"Provider '{ProviderName}' is not registered in this process as one of OrleansMq: call AddOrleansMqStreams(\"{ProviderName}\").");

    void IOnDeserialized.OnDeserialized(DeserializationContext context) =>
        _provider = context.ServiceProvider.GetKeyedService<IStreamProvider>(ProviderName) as OrleansMqStreamProvider;

    /// <inheritdoc/>
    public Task OnNextAsync(T item, StreamSequenceToken? token = null) => OnNextBatchAsync([item], token);

    /// <inheritdoc/>
    public Task OnNextBatchAsync(IEnumerable<T> batch, StreamSequenceToken? token = null)
    {
        ArgumentNullException.ThrowIfNull(batch);
        if (token is not null)
            throw new NotSupportedException("The broker gives an event its position: call without a token.");
        return Provider.ProduceAsync(StreamId, batch);
    }

    /// <inheritdoc/>
    public Task OnCompletedAsync() =>
        throw new NotSupportedException("A stream over a topic has no end. Send an event that says so.");

    /// <inheritdoc/>
    public Task OnErrorAsync(Exception ex) =>
        throw new NotSupportedException("A stream over a topic carries events alone. Send an event that describes the error.");

    /// <inheritdoc/>
    public Task<StreamSubscriptionHandle<T>> SubscribeAsync(IAsyncObserver<T> observer) => SubscribeAsync(observer, null);

    /// <inheritdoc/>
    public Task<StreamSubscriptionHandle<T>> SubscribeAsync(IAsyncObserver<T> observer, StreamSequenceToken? token,
        string? filterData = null)
    {
        ArgumentNullException.ThrowIfNull(observer);
        if (filterData is not null)
            throw new NotSupportedException("Filters are not supported yet: subscribe without filterData.");
        return SubscribeAsync(Observer(observer, null), token);
    }

    /// <inheritdoc/>
    public Task<StreamSubscriptionHandle<T>> SubscribeAsync(IAsyncBatchObserver<T> observer) => SubscribeAsync(observer, null);

    /// <inheritdoc/>
    public Task<StreamSubscriptionHandle<T>> SubscribeAsync(IAsyncBatchObserver<T> observer, StreamSequenceToken? token)
    {
        ArgumentNullException.ThrowIfNull(observer);
        return SubscribeAsync(Observer(null, observer), token);
    }

    /// <inheritdoc/>
    public async Task<IList<StreamSubscriptionHandle<T>>> GetAllSubscriptionHandles() =>
        [.. (await Provider.FindSubscriptionsAsync(StreamId)).Select(HandleOf)];

    /// <summary>Returns the handle of a subscription.</summary>
    internal StreamSubscriptionHandle<T> HandleOf(Guid subscription) => new OrleansMqSubscriptionHandle<T>(this, subscription);

    /// <summary>Attaches an observer to a subscription.</summary>
    internal async Task<StreamSubscriptionHandle<T>> ResumeAsync(Guid subscription, IAsyncObserver<T>? observer,
        IAsyncBatchObserver<T>? batches, StreamSequenceToken? token)
    {
        await Provider.ResumeAsync(StreamId, subscription, Observer(observer, batches), token);
        return HandleOf(subscription);
    }

    /// <summary>Removes a subscription.</summary>
    internal Task UnsubscribeAsync(Guid subscription) => Provider.UnsubscribeAsync(StreamId, subscription);

    /// <inheritdoc/>
    public bool Equals(IAsyncStream<T>? other) => other is OrleansMqStream<T> && other.ProviderName == ProviderName
        && other.StreamId == StreamId;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as IAsyncStream<T>);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(ProviderName, StreamId);

    /// <inheritdoc/>
    public int CompareTo(IAsyncStream<T>? other) => other is null ? 1
        : string.CompareOrdinal(ProviderName, other.ProviderName) is not 0 and var order ? order
        : StreamId.CompareTo(other.StreamId);

    /// <inheritdoc/>
    public override string ToString() => $"{ProviderName}/{StreamId}";

    private async Task<StreamSubscriptionHandle<T>> SubscribeAsync(IStreamObserver observer, StreamSequenceToken? token) =>
        HandleOf(await Provider.SubscribeAsync(StreamId, observer, token));

    private StreamObserver<T> Observer(IAsyncObserver<T>? observer, IAsyncBatchObserver<T>? batches) =>
        new(Provider.Options.Format, observer, batches);
}

/// <summary>A subscription of a grain to a stream. It may be kept in grain state, also as the JSON of Orleans' storage.</summary>
[GenerateSerializer, Immutable, Alias("omq.StreamSubscriptionHandle`1"), DataContract]
internal sealed class OrleansMqSubscriptionHandle<T> : StreamSubscriptionHandle<T>
{
    [Id(0), DataMember(Name = "stream")]
    private readonly OrleansMqStream<T> _stream;
    [Id(1), DataMember(Name = "id")]
    private readonly Guid _id;

    public OrleansMqSubscriptionHandle(OrleansMqStream<T> stream, Guid id) => (_stream, _id) = (stream, id);

    /// <inheritdoc/>
    public override StreamId StreamId => _stream.StreamId;

    /// <inheritdoc/>
    public override string ProviderName => _stream.ProviderName;

    /// <inheritdoc/>
    public override Guid HandleId => _id;

    /// <inheritdoc/>
    public override Task UnsubscribeAsync() => _stream.UnsubscribeAsync(_id);

    /// <inheritdoc/>
    public override Task<StreamSubscriptionHandle<T>> ResumeAsync(IAsyncObserver<T> observer, StreamSequenceToken? token = null)
    {
        ArgumentNullException.ThrowIfNull(observer);
        return _stream.ResumeAsync(_id, observer, null, token);
    }

    /// <inheritdoc/>
    public override Task<StreamSubscriptionHandle<T>> ResumeAsync(IAsyncBatchObserver<T> observer, StreamSequenceToken? token = null)
    {
        ArgumentNullException.ThrowIfNull(observer);
        return _stream.ResumeAsync(_id, null, observer, token);
    }

    /// <inheritdoc/>
    public override bool Equals(StreamSubscriptionHandle<T>? other) =>
        other is OrleansMqSubscriptionHandle<T> handle && handle._id == _id && handle._stream.Equals(_stream);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as StreamSubscriptionHandle<T>);

    /// <inheritdoc/>
    public override int GetHashCode() => _id.GetHashCode();
}

/// <summary>Gives a grain the handle of a subscription that has no observer yet.</summary>
internal sealed class SubscriptionHandleFactory(IServiceProvider services, string provider, StreamId stream, Guid subscription)
    : IStreamSubscriptionHandleFactory
{
    /// <inheritdoc/>
    public StreamId StreamId => stream;

    /// <inheritdoc/>
    public string ProviderName => provider;

    /// <inheritdoc/>
    public GuidId SubscriptionId { get; } = GuidId.GetGuidId(subscription);

    /// <inheritdoc/>
    public StreamSubscriptionHandle<T> Create<T>() =>
        ((OrleansMqStream<T>)services.GetRequiredKeyedService<IStreamProvider>(provider).GetStream<T>(stream)).HandleOf(subscription);
}
