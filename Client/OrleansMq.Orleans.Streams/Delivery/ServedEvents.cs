namespace OrleansMq.Streams;

/// <summary>Which events an activation has served for one subscription, so that it skips those that come again, and which replay of the
/// subscription it knows of.</summary>
internal sealed class ServedEvents
{
    // By the replay from a token that delivered them. One entry, unless a producer chose partitions or the topic was created again, or a
    // later token is not known to be in force.
    private readonly Dictionary<(Guid Origin, Guid Queue, int Partition), long> _served = [];
    // The newest replay that is known to be in force.
    private KnownReplay _inForce;

    /// <summary>The newest replay that is known.</summary>
    public KnownReplay Replay { get; private set; }

    /// <summary>Begins a replay unless a later one is known. A split goes on with what was served; a replay from a token does
    /// not.</summary>
    public void Begin(KnownReplay replay)
    {
        if (IsOutdated(replay) || replay.IsSameAs(Replay))
            return;
        // An earlier version sends no id.
        if (replay.Id == Guid.Empty)
            _served.Clear();
        Replay = replay;
    }

    /// <summary>A replay delivers: it begins, unless a later one is known. It is in force, and other tokens are over or never
    /// were.</summary>
    public void Deliver(KnownReplay replay)
    {
        Begin(replay);
        if (!replay.IsSameAs(Replay))
            return;
        _inForce = Replay;
        foreach (var cursor in _served.Keys.Where(cursor => cursor.Origin != Replay.Origin).ToList())
            _served.Remove(cursor);
    }

    /// <summary>The table has a replay in force. It begins where it is from another token, unless a later one is known. A split begins with
    /// its first delivery: what comes from before it is skipped, or is served by it.</summary>
    public void Learn(KnownReplay replay)
    {
        if (replay.Origin != Replay.Origin)
            Deliver(replay);
    }

    /// <summary>Goes back to the replay that was known before a later one began, which was not written, as far as is known; or to one that
    /// came into force since. It returns false, and does nothing, where the later one is known to be in force. One that is in force, which
    /// is not known yet, begins with its first delivery.</summary>
    /// <param name="before">The replay.</param>
    public bool GoBack(KnownReplay before)
    {
        if (before.IsSameAs(Replay))
            return true;
        if (Replay == _inForce)
            return false;
        Replay = IsEarlier(before, _inForce) ? _inForce : before;
        return true;
    }

    /// <summary>Whether a later replay than one is known: one of a later generation, or with a higher number in the same. Of two with one
    /// number that earlier versions have written at once, that from a token counts as the later one. Of two from tokens the one that is in
    /// force is delivered.</summary>
    public bool IsOutdated(KnownReplay replay) => IsEarlier(replay, Replay);

    private static bool IsEarlier(KnownReplay replay, KnownReplay than) => replay.Generation != than.Generation
        ? replay.Generation < than.Generation
        : replay.Number < than.Number || (replay.Number == than.Number && replay.IsSplit && !than.IsSplit && !replay.IsSameAs(than));

    /// <summary>Returns the last offset that was served of a cursor; null: none.</summary>
    public long? Last(Guid queue, int partition) =>
        _served.TryGetValue((Replay.Origin, queue, partition), out var last) ? last : null;

    /// <summary>An event was served. What a replay delivered says nothing of one from another token. An event that a call still had when a
    /// replay ended behind it takes nothing back.</summary>
    /// <param name="replay">The replay that delivered it.</param>
    /// <param name="queue">The cursor.</param>
    /// <param name="partition">The partition.</param>
    /// <param name="offset">The event's offset.</param>
    public void Serve(KnownReplay replay, Guid queue, int partition, long offset)
    {
        var cursor = (replay.IsSameAs(Replay) ? Replay.Origin : replay.Origin, queue, partition);
        _served[cursor] = _served.TryGetValue(cursor, out var last) ? Math.Max(last, offset) : offset;
    }
}

/// <summary>A replay as an activation knows it. The default: the subscription has none.</summary>
/// <param name="Number">The number of replays that the subscription has had.</param>
/// <param name="Id">The newest of them; empty: there is none, or an earlier version sends.</param>
/// <param name="Origin">The newest one from a token; empty: there is none.</param>
/// <param name="Generation">The number of tokens that the subscription had been resumed from.</param>
internal readonly record struct KnownReplay(int Number, Guid Id, Guid Origin, int Generation = 0)
{
    /// <summary>Whether it is a split.</summary>
    public bool IsSplit => Id != Origin;

    /// <summary>Returns a subscription's newest replay.</summary>
    public static KnownReplay Of(Replay? replay) =>
        replay is null ? default : new(replay.Number, replay.Id, replay.Origin, replay.Generation);

    /// <summary>Returns the replay of a delivery.</summary>
    public static KnownReplay Of(StreamDelivery delivery) =>
        new(delivery.Replay, delivery.ReplayId, delivery.Continues ?? delivery.ReplayId, delivery.Generation);

    /// <summary>Whether two are one replay. Earlier versions send no id.</summary>
    public bool IsSameAs(KnownReplay other) => Number == other.Number && Generation == other.Generation
        && (Id == other.Id || Id == Guid.Empty);
}
