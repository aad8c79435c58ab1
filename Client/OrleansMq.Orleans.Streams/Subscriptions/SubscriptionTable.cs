using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Text.Json;

namespace OrleansMq.Streams;

/// <summary>An explicit subscription.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Grain">The grain that subscribed.</param>
/// <param name="Partition">The partition of the stream's key when it subscribed.</param>
/// <param name="Queue">The cursor there.</param>
/// <param name="First">The first offset that it receives of that cursor.</param>
internal sealed record ExplicitSubscription(Guid Id, GrainId Grain, int Partition, Guid Queue, long First)
{
    /// <summary>Whether an event was appended after the subscription. A cursor of another id delivers what is newer.</summary>
    public bool Receives(int partition, Guid queue, long offset) =>
        partition != Partition || queue != Queue || offset >= First;
}

/// <summary>The explicit subscriptions of a provider, as the records of its topic say. One writer, any number of readers.</summary>
internal sealed class SubscriptionTable
{
    private readonly ConcurrentDictionary<StreamId, ImmutableArray<ExplicitSubscription>> _streams = new();
    private readonly ConcurrentDictionary<string, int> _topics = new(StringComparer.Ordinal);

    /// <summary>The topics with subscriptions.</summary>
    public IEnumerable<string> Topics => _topics.Keys;

    /// <summary>Whether a topic has subscriptions.</summary>
    public bool HasSubscriptions(string topic) => _topics.ContainsKey(topic);

    /// <summary>Returns the subscriptions of a stream, in order of their ids.</summary>
    public ImmutableArray<ExplicitSubscription> Find(StreamId stream) => _streams.TryGetValue(stream, out var found) ? found : [];

    /// <summary>Applies a record of the topic.</summary>
    /// <exception cref="JsonException">It is none of a provider.</exception>
    public void Apply(ReadOnlySpan<byte> key, ReadOnlyMemory<byte>? value)
    {
        var subscription = SubscriptionKey.Parse(key);
        var stream = StreamId.Create(System.Text.Encoding.UTF8.GetBytes(subscription.Topic), subscription.Key);
        var before = Find(stream);
        var others = before.RemoveAll(other => other.Id == subscription.Id);
        var after = value is { } bytes ? Sorted(others.Add(Parse(subscription.Id, bytes.Span))) : others;
        if (after.IsEmpty)
            _streams.TryRemove(stream, out _);
        else
            _streams[stream] = after;
        Count(subscription.Topic, after.Length - before.Length);
    }

    private static ExplicitSubscription Parse(Guid id, ReadOnlySpan<byte> bytes)
    {
        var value = SubscriptionValue.Parse(bytes);
        return new ExplicitSubscription(id, GrainId.Parse(value.Grain), value.Partition, value.Queue, value.First);
    }

    private static ImmutableArray<ExplicitSubscription> Sorted(ImmutableArray<ExplicitSubscription> subscriptions) =>
        subscriptions.Sort(static (left, right) => left.Id.CompareTo(right.Id));

    private void Count(string topic, int change)
    {
        if (change != 0 && _topics.AddOrUpdate(topic, change, (_, count) => count + change) == 0)
            _topics.TryRemove(topic, out _);
    }
}
