using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Text.Json;
using OrleansMq.Client;

namespace OrleansMq.Streams;

/// <summary>An explicit subscription.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Grain">The grain that subscribed.</param>
/// <param name="Partition">The partition of the stream's key when it subscribed.</param>
/// <param name="Queue">The cursor there.</param>
/// <param name="First">The first offset that it receives of that cursor, unless it is replayed.</param>
/// <param name="Replay">Its newest replay; null: it has none.</param>
internal sealed record ExplicitSubscription(Guid Id, GrainId Grain, int Partition, Guid Queue, long First, Replay? Replay = null)
{
    /// <summary>Whether it has a first offset in a cursor. A cursor of another id delivers what is newer than the subscription.</summary>
    public bool BeginsIn(int partition, Guid queue) => partition == Partition && queue == Queue;

    /// <summary>Returns the replay that goes on with the subscription, apart from others of its stream.</summary>
    /// <param name="topicId">The topic.</param>
    /// <param name="from">The first offset: the subscription has had all events below it.</param>
    /// <param name="failures">How often the event there has failed.</param>
    public Replay Split(Guid topicId, long from, int failures) => new(Guid.NewGuid(), (Replay?.Number ?? 0) + 1, topicId, from,
        Replay?.Origin ?? Guid.Empty, failures, Replay?.Generation ?? 0);

    /// <summary>Returns the replay that begins with a token.</summary>
    /// <param name="topicId">The topic.</param>
    /// <param name="from">The first offset.</param>
    public Replay Rewind(Guid topicId, long from) => new(Guid.NewGuid(), (Replay?.Number ?? 0) + 1, topicId, from,
        Generation: (Replay?.Generation ?? 0) + 1);

    /// <summary>Whether a further replay is in force. A split is where it is newer than the replay that the subscription has, and goes on
    /// with the same events. One from a token is where it is of a later generation.</summary>
    public bool IsContinuedBy(Replay next) => next.IsSplit
        ? next.Number > (Replay?.Number ?? 0) && next.Origin == (Replay?.Origin ?? Guid.Empty)
        : next.Generation > (Replay?.Generation ?? 0);

    /// <summary>Whether a split that was chosen before is still the next one after the replay that the subscription has.</summary>
    public bool IsNext(Replay split) => IsContinuedBy(split) && split.Number == (Replay?.Number ?? 0) + 1;
}

/// <summary>What the shared cursor does for a subscription.</summary>
/// <param name="Step">How far its replay is; <see cref="ReplayStep.Joined"/>: it has none, or that is over.</param>
/// <param name="First">Then the first offset that it receives.</param>
internal readonly record struct SharedPart(ReplayStep Step, long First)
{
    /// <summary>Whether the shared cursor delivers an event to it.</summary>
    public bool Takes(long offset) => Step == ReplayStep.Joined && offset >= First;
}

/// <summary>
/// The explicit subscriptions of a provider, as the records of its topic say. One writer, any number of readers.
/// <para>Of the splits that silos write at once the first in the topic's order is in force, and of the replays from tokens of one
/// generation. A split whose subscription was removed or replayed from a token in the meantime is not in force, nor is a replay from a
/// token whose subscription was removed, or resumed from another token since. That does not depend on what compaction has removed: a
/// subscription's own record comes before its replays, a split is removed only after a newer one is written, and the replay from a token
/// only after one of a later generation is. Each record is in the topic once, since a copy would lose its place.</para>
/// <para>A subscription is abandoned where its call has failed, unless an activation has resumed it: of the two claims the first one in the
/// topic's order counts. A claim that counts is removed only after the subscription's own record is.</para>
/// </summary>
internal sealed class SubscriptionTable
{
    private readonly ConcurrentDictionary<StreamId, ImmutableArray<ExplicitSubscription>> _streams = new();
    private readonly ConcurrentDictionary<string, int> _topics = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<Guid, (StreamId Stream, ExplicitSubscription Subscription)> _replays = new();
    private readonly ConcurrentDictionary<Guid, SharedPart> _progress = new();
    // The records of further replays, whose step is null, and of steps: what the topic has, in force or not.
    private readonly ConcurrentDictionary<(Guid Replay, ReplayStep? Step), StoredRecord> _stored = new();
    // What the topic has of claims, whether they count or not.
    private readonly ConcurrentDictionary<Guid, StoredClaim> _claims = new();
    // The subscriptions that activations have resumed, and the claims that say so first.
    private readonly ConcurrentDictionary<Guid, Guid> _resumed = new();
    // The subscriptions that are abandoned, and the keys of their own records, which the topic still has.
    private readonly ConcurrentDictionary<Guid, byte[]> _abandoned = new();
    private int _begun;

    /// <summary>How many replays have begun since the table was made. A reader that looks afterwards finds them.</summary>
    public int Begun => Volatile.Read(ref _begun);

    /// <summary>The topics with subscriptions.</summary>
    public IEnumerable<string> Topics => _topics.Keys;

    /// <summary>Whether a topic has subscriptions.</summary>
    public bool HasSubscriptions(string topic) => _topics.ContainsKey(topic);

    /// <summary>Returns the subscriptions of a stream, in order of their ids.</summary>
    public ImmutableArray<ExplicitSubscription> Find(StreamId stream) => _streams.TryGetValue(stream, out var found) ? found : [];

    /// <summary>The subscriptions with a replay that is not over, and their streams.</summary>
    public IEnumerable<(StreamId Stream, ExplicitSubscription Subscription)> Replays =>
        _replays.Where(pair => StepOf(pair.Key) != ReplayStep.Joined).Select(static pair => pair.Value);

    /// <summary>Returns how many subscriptions of a topic are split.</summary>
    public int CountSplits(string topic) => Replays.Count(pair => pair.Subscription.Replay!.IsSplit
        && string.Equals(pair.Stream.GetNamespace(), topic, StringComparison.Ordinal));

    /// <summary>Returns a subscription of a stream; null: there is none.</summary>
    public ExplicitSubscription? Find(StreamId stream, Guid id) => Find(stream).FirstOrDefault(other => other.Id == id);

    /// <summary>Returns how far a replay is; null: no subscription has it as its newest one.</summary>
    public ReplayStep? FindStep(Guid replay) => _replays.ContainsKey(replay) ? StepOf(replay) : null;

    /// <summary>Whether the topic has the record of a further replay, in force or not.</summary>
    public bool HasRecord(Guid replay) => _stored.ContainsKey((replay, null));

    /// <summary>Whether an activation has resumed a subscription: it is not abandoned any more.</summary>
    public bool IsResumed(Guid subscription) => _resumed.ContainsKey(subscription);

    /// <summary>Whether a subscription is abandoned, and its own record is still to be removed.</summary>
    public bool IsAbandoned(Guid subscription) => _abandoned.ContainsKey(subscription);

    /// <summary>Returns the keys of records that are not in force, and never will be again: of replays that are over or came too late, of
    /// their steps, of abandoned subscriptions, and of claims that decide nothing.</summary>
    public IReadOnlyList<byte[]> FindLeft() => [.. _stored.Where(pair => !IsNeeded(pair.Key.Replay, pair.Key.Step, pair.Value))
        .Select(static pair => pair.Value.Key), .. _abandoned.Values, .. _claims.Where(pair => !IsNeeded(pair.Key, pair.Value))
        .Select(static pair => pair.Value.Key)];

    /// <summary>Returns what the shared cursor delivers to a subscription.</summary>
    public SharedPart PartOf(ExplicitSubscription subscription, int partition, Guid queue) =>
        !subscription.BeginsIn(partition, queue) ? new SharedPart(ReplayStep.Joined, 0)
        : subscription.Replay is not { } replay ? new SharedPart(ReplayStep.Joined, subscription.First)
        : _progress.GetValueOrDefault(replay.Id, new SharedPart(ReplayStep.Replaying, 0));

    /// <summary>Applies a record of the topic.</summary>
    /// <exception cref="JsonException">It is none of a provider.</exception>
    public void Apply(ReadOnlySpan<byte> key, ReadOnlyMemory<byte>? value)
    {
        if (ReplayKey.TryParse(key) is { } progress)
        {
            Apply(progress, value);
            Store((progress.Replay, progress.Step), value is null ? null : new StoredRecord(key.ToArray()));
            return;
        }
        if (NextReplayKey.TryParse(key) is { } next)
        {
            if (value is { } written)
                Apply(next, NextReplayValue.Parse(written.Span));
            Store((next.Id, null), value is null ? null : new StoredRecord(key.ToArray(), StreamOf(next.Of), next.Of.Id));
            return;
        }
        if (ClaimKey.TryParse(key) is { } claim)
        {
            Apply(claim, key, value);
            return;
        }
        var subscription = SubscriptionKey.Parse(key);
        var stream = StreamOf(subscription);
        if (value is null)
            _abandoned.TryRemove(subscription.Id, out _);
        // A copy of its record does not bring an abandoned subscription back.
        else if (_abandoned.ContainsKey(subscription.Id))
            return;
        Replace(stream, subscription, value);
    }

    private void Replace(StreamId stream, SubscriptionKey subscription, ReadOnlyMemory<byte>? value)
    {
        var before = Find(stream);
        var others = before.RemoveAll(other => other.Id == subscription.Id);
        var newest = value is { } bytes ? Parse(subscription.Id, bytes.Span) : null;
        var after = newest is not null ? Sorted(others.Add(newest)) : others;
        var hasBegun = newest?.Replay is { } begun && Begin(begun, stream, newest);
        if (after.IsEmpty)
            _streams.TryRemove(stream, out _);
        else
            _streams[stream] = after;
        if (hasBegun)
            Interlocked.Increment(ref _begun);
        foreach (var replaced in before.Where(other => other.Id == subscription.Id && other.Replay?.Id != newest?.Replay?.Id))
            Forget(replaced.Replay);
        if (newest is null)
            _resumed.TryRemove(subscription.Id, out _);
        Count(subscription.Topic, after.Length - before.Length);
    }

    // A claim on a subscription that is not there decides nothing: the subscription's own record would come before it.
    private void Apply(ClaimKey claim, ReadOnlySpan<byte> key, ReadOnlyMemory<byte>? value)
    {
        if (value is null)
        {
            _claims.TryRemove(claim.Id, out _);
            return;
        }
        Decide(claim);
        // Last: a sweep that looks meanwhile would take one that decides for one that does not.
        _claims[claim.Id] = new StoredClaim(key.ToArray(), claim.Kind, claim.Of.Id);
    }

    private void Decide(ClaimKey claim)
    {
        var stream = StreamOf(claim.Of);
        if (Find(stream, claim.Of.Id) is null)
            return;
        if (claim.Kind == SubscriptionClaim.Resumed)
            _resumed.TryAdd(claim.Of.Id, claim.Id);
        else if (claim.Kind == SubscriptionClaim.Abandoned && !_resumed.ContainsKey(claim.Of.Id))
        {
            _abandoned[claim.Of.Id] = claim.Of.ToBytes();
            Replace(stream, claim.Of, null);
        }
    }

    private static StreamId StreamOf(SubscriptionKey key) =>
        StreamId.Create(System.Text.Encoding.UTF8.GetBytes(key.Topic), key.Key);

    private void Apply(NextReplayKey key, NextReplayValue value)
    {
        var stream = StreamOf(key.Of);
        var before = Find(stream);
        if (before.FirstOrDefault(other => other.Id == key.Of.Id) is not { } current || !current.IsContinuedBy(value.Replay))
            return;
        var after = current with
        {
            Partition = value.Partition ?? current.Partition,
            Queue = value.Queue,
            Replay = value.Replay,
        };
        var hasBegun = Begin(value.Replay, stream, after);
        _streams[stream] = before.Replace(current, after);
        if (hasBegun)
            Interlocked.Increment(ref _begun);
        Forget(current.Replay);
    }

    // A step that comes when its replay is over says nothing any more.
    private void Apply(ReplayKey key, ReadOnlyMemory<byte>? value)
    {
        if (value is not { } bytes)
            _progress.TryRemove(key.Replay, out _);
        else if (ReplayValue.Parse(bytes.Span) is var written && _replays.ContainsKey(key.Replay) && StepOf(key.Replay) <= key.Step)
            _progress[key.Replay] = new SharedPart(key.Step, written.First);
    }

    private void Store((Guid Replay, ReplayStep? Step) key, StoredRecord? record)
    {
        if (record is null)
            _stored.TryRemove(key, out _);
        else
            _stored[key] = record;
    }

    // A split goes on with what its origin has begun: without that record another one of its generation would be in force.
    private bool IsNeeded(Guid replay, ReplayStep? step, StoredRecord record) => step is not null ? _replays.ContainsKey(replay)
        : Find(record.Stream, record.Subscription)?.Replay is { } current && (current.Id == replay || current.Origin == replay);

    private bool IsNeeded(Guid claim, StoredClaim record) => record.Kind == SubscriptionClaim.Abandoned
        ? _abandoned.ContainsKey(record.Subscription) : _resumed.TryGetValue(record.Subscription, out var first) && first == claim;

    // False: the table has had it already.
    private bool Begin(Replay replay, StreamId stream, ExplicitSubscription subscription)
    {
        var isNew = !_replays.ContainsKey(replay.Id);
        _replays[replay.Id] = (stream, subscription);
        return isNew;
    }

    private ReplayStep StepOf(Guid replay) => _progress.TryGetValue(replay, out var part) ? part.Step : ReplayStep.Replaying;

    private void Forget(Replay? replay)
    {
        if (replay is null)
            return;
        _replays.TryRemove(replay.Id, out _);
        _progress.TryRemove(replay.Id, out _);
    }

    private static ExplicitSubscription Parse(Guid id, ReadOnlySpan<byte> bytes)
    {
        var value = SubscriptionValue.Parse(bytes);
        return GrainText.TryParse(value.Grain, out var grain)
            ? new ExplicitSubscription(id, grain, value.Partition, value.Queue, value.First, value.Replay)
            : throw new FormatException($"Subscription {id} is of '{value.Grain}', which is no grain.");
    }

    private static ImmutableArray<ExplicitSubscription> Sorted(ImmutableArray<ExplicitSubscription> subscriptions) =>
        subscriptions.Sort(static (left, right) => left.Id.CompareTo(right.Id));

    private void Count(string topic, int change)
    {
        if (change != 0 && _topics.AddOrUpdate(topic, change, (_, count) => count + change) == 0)
            _topics.TryRemove(topic, out _);
    }

    // A record with its key; of a further replay also its subscription.
    private sealed record StoredRecord(byte[] Key, StreamId Stream = default, Guid Subscription = default);

    private sealed record StoredClaim(byte[] Key, SubscriptionClaim Kind, Guid Subscription);
}
