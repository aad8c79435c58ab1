namespace OrleansMq.Streams;

/// <summary>Which events an activation has served for one subscription, so that it skips those that come again, and which replay of the
/// subscription it knows of.</summary>
internal sealed class ServedEvents
{
    // One entry, unless a producer chose partitions or the topic was created again.
    private readonly Dictionary<(Guid Queue, int Partition), long> _served = [];

    /// <summary>The newest replay that is known.</summary>
    public KnownReplay Replay { get; private set; }

    /// <summary>Begins a replay unless a later one is known. A split goes on with what was served; a replay from a token does
    /// not.</summary>
    public void Begin(KnownReplay replay)
    {
        if (IsOutdated(replay) || replay.IsSameAs(Replay))
            return;
        // An earlier version sends no id.
        if (replay.Origin != Replay.Origin || replay.Id == Guid.Empty)
            _served.Clear();
        Replay = replay;
    }

    /// <summary>Goes back to an earlier replay: the later one was not written.</summary>
    public void Return(KnownReplay replay)
    {
        if (replay.Origin != Replay.Origin)
            _served.Clear();
        Replay = replay;
    }

    /// <summary>Whether a later replay than one is known. Of two with one number that were written at once, that from a token counts as
    /// the later one. Of two from tokens the one that was written last is delivered.</summary>
    public bool IsOutdated(KnownReplay replay) => replay.Number < Replay.Number
        || (replay.Number == Replay.Number && replay.IsSplit && !Replay.IsSplit && !replay.IsSameAs(Replay));

    /// <summary>Returns the last offset that was served of a cursor; null: none.</summary>
    public long? Last(Guid queue, int partition) => _served.TryGetValue((queue, partition), out var last) ? last : null;

    /// <summary>An event was served. What a replay delivered says nothing of a later one from a token.</summary>
    /// <param name="replay">The replay that delivered it.</param>
    /// <param name="queue">The cursor.</param>
    /// <param name="partition">The partition.</param>
    /// <param name="offset">The event's offset.</param>
    public void Serve(KnownReplay replay, Guid queue, int partition, long offset)
    {
        if (replay.IsSameAs(Replay) || replay.Origin == Replay.Origin)
            _served[(queue, partition)] = offset;
    }
}

/// <summary>A replay as an activation knows it. The default: the subscription has none.</summary>
/// <param name="Number">The number of replays that the subscription has had.</param>
/// <param name="Id">The newest of them; empty: there is none, or an earlier version sends.</param>
/// <param name="Origin">The newest one from a token; empty: there is none.</param>
internal readonly record struct KnownReplay(int Number, Guid Id, Guid Origin)
{
    /// <summary>Whether it is a split.</summary>
    public bool IsSplit => Id != Origin;

    /// <summary>Returns a subscription's newest replay.</summary>
    public static KnownReplay Of(Replay? replay) => replay is null ? default : new(replay.Number, replay.Id, replay.Origin);

    /// <summary>Returns the replay of a delivery.</summary>
    public static KnownReplay Of(StreamDelivery delivery) =>
        new(delivery.Replay, delivery.ReplayId, delivery.Continues ?? delivery.ReplayId);

    /// <summary>Whether two are one replay. Earlier versions send no id.</summary>
    public bool IsSameAs(KnownReplay other) => Number == other.Number && (Id == other.Id || Id == Guid.Empty);
}
