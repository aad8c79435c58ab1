namespace OrleansMq.Tests.Chaos.Subscriptions;

/// <summary>An event that was sent.</summary>
/// <param name="Begin">When its first send began.</param>
/// <param name="Acknowledged">When a send of it was acknowledged; null: none was.</param>
internal sealed record SentEvent(long Begin, long? Acknowledged);

/// <summary>A record of a stream, as the topic has it at the end.</summary>
internal readonly record struct StreamRecord(int Partition, long Offset, int Number);

/// <summary>What was sent, what the topic has, and what subscribers did and observed: judges whether each subscription received what was
/// promised.</summary>
internal sealed class SubscriptionHistory
{
    private readonly Dictionary<int, Dictionary<(int, long), int>> _places = [];
    private readonly Dictionary<(int Stream, int Number), long> _firsts = [];

    /// <summary>What was sent, by stream and number.</summary>
    public Dictionary<(int Stream, int Number), SentEvent> Sent { get; } = [];

    /// <summary>The records of each stream, in the topic's order.</summary>
    public Dictionary<int, List<StreamRecord>> Log { get; } = [];

    /// <summary>The subscriptions of each subscriber to a stream, as it lists them at the end.</summary>
    public Dictionary<(int Subscriber, int Stream), IReadOnlyList<Guid>> Listed { get; } = [];

    /// <summary>What subscribers did and observed.</summary>
    public List<SubscriptionEvent> Events { get; } = [];

    /// <summary>The subscriptions that were made, and that no call has begun to remove.</summary>
    public IEnumerable<SubscriptionEvent> Living()
    {
        var leaving = Events.Where(static one => one.Kind == SubscriptionEventKind.Leaving).Select(static one => one.Subscription)
            .ToHashSet();
        return Events.Where(one => one.Kind == SubscriptionEventKind.Subscribed && !leaving.Contains(one.Subscription));
    }

    /// <summary>The living subscriptions that have not observed the last record of their stream, although it was sent after they were
    /// made.</summary>
    public IReadOnlyList<string> Behind()
    {
        var last = Events.Where(static one => one.Kind == SubscriptionEventKind.Observed).GroupBy(static one => one.Subscription)
            .ToDictionary(static group => group.Key, static group => group.Max(static one => one.Offset));
        return [.. Living().Where(one => FirstAfter(one) is not null
                && last.GetValueOrDefault(one.Subscription, -1) < Log[one.Stream][^1].Offset)
            .Select(one => $"{Name(one)} has offset {last.GetValueOrDefault(one.Subscription, -1)} of {Log[one.Stream][^1].Offset}")];
    }

    /// <summary>Returns what is wrong.</summary>
    public IReadOnlyList<string> Judge()
    {
        _places.Clear();
        _firsts.Clear();
        foreach (var (stream, records) in Log)
            _places[stream] = records.Index().ToDictionary(static one => (one.Item.Partition, one.Item.Offset), static one => one.Index);
        return [.. JudgeLog(), .. Events.GroupBy(static one => one.Subscription).SelectMany(JudgeSubscription)];
    }

    private IEnumerable<string> JudgeLog()
    {
        foreach (var (stream, records) in Log)
        {
            if (records.DistinctBy(static record => record.Partition).Count() > 1)
                yield return $"stream {stream} is in several partitions";
            var numbers = records.Select(static record => record.Number).ToHashSet();
            foreach (var (sent, _) in Sent.Where(sent => sent.Key.Stream == stream && sent.Value.Acknowledged is not null
                && !numbers.Contains(sent.Key.Number)))
                yield return $"event {sent.Number} of stream {stream} was acknowledged, and is not in the topic";
        }
    }

    private IEnumerable<string> JudgeSubscription(IGrouping<Guid, SubscriptionEvent> group)
    {
        var events = group.OrderBy(static one => one.End).ToList();
        var (stream, name) = (events[0].Stream, Name(events[0]));
        var made = events.Find(static one => one.Kind == SubscriptionEventKind.Subscribed);
        var isLeaving = events.Exists(static one => one.Kind == SubscriptionEventKind.Leaving);
        var left = events.Find(static one => one.Kind == SubscriptionEventKind.Left);
        var observed = events.Where(static one => one.Kind == SubscriptionEventKind.Observed).ToList();
        foreach (var one in observed.Where(one => PlaceOf(one) is not { } place || Log[stream][place].Number != one.Number))
        {
            yield return $"{name} observed event {one.Number} at {one.Partition}@{one.Offset}, where the topic has another one";
            yield break;
        }
        if (left is not null)
        {
            foreach (var one in observed.Where(one => one.Begin > left.End && !MayBeUnderWay(one, left, events)))
                yield return $"{name} observed event {one.Number} after its unsubscribe had returned (activation {one.Activation})";
        }
        var list = Listed.GetValueOrDefault((events[0].Subscriber, stream), []);
        if (made is not null && !isLeaving && !list.Contains(group.Key))
            yield return $"{name} was made and does not exist";
        if (left is not null && list.Contains(group.Key))
            yield return $"{name} exists although its unsubscribe had returned";
        foreach (var wrong in JudgeOrder(name, made, made is not null && !isLeaving, observed).Concat(JudgeActivations(name, events)))
            yield return wrong;
        if (made is not null && !isLeaving && events.FindLast(static one => one.Kind == SubscriptionEventKind.Rewinding) is { } rewinding
            && events.Exists(one => one.Kind == SubscriptionEventKind.Rewound && one.Begin == rewinding.Begin))
        {
            var again = observed.Where(one => one.End > rewinding.Begin).Select(one => PlaceOf(one)!.Value).ToHashSet();
            if (Enumerable.Range(PlaceOf(rewinding)!.Value, Log[stream].Count - PlaceOf(rewinding)!.Value).Except(again).ToList()
                is { Count: > 0 } missing)
                yield return $"{name} was rewound, and did not observe {Some(stream, missing)} again";
        }
    }

    // A call that is under way when the unsubscribe returns may be at an activation that the grain has beside: a lost part of the grain
    // directory leaves such a one for a moment.
    private bool MayBeUnderWay(SubscriptionEvent observed, SubscriptionEvent left, List<SubscriptionEvent> events) =>
        observed.Activation != left.Activation && Sent[(observed.Stream, observed.Number)].Begin <= left.End
        && events.Exists(one => one.Activation == observed.Activation && one.Begin <= left.End);

    // What is observed first comes in the topic's order, without a gap.
    private IEnumerable<string> JudgeOrder(string name, SubscriptionEvent? made, bool isLiving, List<SubscriptionEvent> observed)
    {
        var (highest, before) = (-1, made is null ? -1 : LastBefore(made));
        foreach (var (place, one) in observed.Select(one => (PlaceOf(one)!.Value, one)))
        {
            if (place <= before)
                yield return $"{name} observed event {one.Number}, which was acknowledged before it was made";
            var expected = highest >= 0 ? highest + 1 : made is null ? place : FirstAfter(made) ?? place;
            if (place > expected)
                yield return $"{name} observed event {one.Number} before {Some(one.Stream, Enumerable.Range(expected, place - expected))}";
            highest = Math.Max(highest, place);
        }
        if (isLiving && FirstAfter(made!) is { } first && highest < Log[made!.Stream].Count - 1)
        {
            var next = Math.Max(first, highest + 1);
            yield return $"{name} did not observe {Some(made!.Stream, Enumerable.Range(next, Log[made.Stream].Count - next))}";
        }
    }

    // An activation observes no event twice and passes over none, but where the subscription is resumed from a token, or another activation
    // has observed what it passes over.
    private IEnumerable<string> JudgeActivations(string name, List<SubscriptionEvent> events)
    {
        var ended = events.Where(static one => one.Kind == SubscriptionEventKind.Rewound).ToDictionary(static one => one.Begin,
            static one => one.End);
        var rewinds = events.Where(static one => one.Kind == SubscriptionEventKind.Rewinding)
            .Select(one => (Place: PlaceOf(one)!.Value, one.Begin, End: ended.GetValueOrDefault(one.Begin, long.MaxValue))).ToList();
        var observed = events.Where(static one => one.Kind == SubscriptionEventKind.Observed).ToList();
        foreach (var activation in observed.GroupBy(static one => one.Activation))
        {
            foreach (var (before, one) in activation.Zip(activation.Skip(1)))
            {
                var (from, to) = (PlaceOf(before)!.Value, PlaceOf(one)!.Value);
                var meanwhile = rewinds.Where(rewind => rewind.Begin < one.End && rewind.End > before.End && rewind.Place <= to).ToList();
                if (to <= from && meanwhile.Count == 0)
                    yield return $"{name} observed event {one.Number} again, or after a later one, in activation {activation.Key}";
                if (to <= from + 1)
                    continue;
                // Where the settlement of an event is lost, it may come again by itself, behind later ones that are settled.
                var others = observed.Where(other => other.End < one.End && (other.End > before.End
                    || (meanwhile.Count == 0 && other.Activation != activation.Key))).Select(other => PlaceOf(other)!.Value).ToHashSet();
                var first = Math.Max(from + 1, meanwhile.Select(static rewind => rewind.Place).DefaultIfEmpty(-1).Max());
                if (Enumerable.Range(first, to - first).Except(others).ToList() is { Count: > 0 } missing)
                {
                    yield return $"{name} observed event {one.Number} after {before.Number} without {Some(one.Stream, missing)} in "
                        + $"activation {activation.Key}";
                }
            }
        }
    }

    // The first record that was surely sent after the subscription was made; null: there is none.
    private int? FirstAfter(SubscriptionEvent made)
    {
        var first = Log.GetValueOrDefault(made.Stream, []).FindIndex(record => Sent[(made.Stream, record.Number)].Begin >= made.End
            && IsFirst(made.Stream, record));
        return first < 0 ? null : first;
    }

    // The last record that surely was there before the subscription was made; -1: there is none.
    private int LastBefore(SubscriptionEvent made) => Log[made.Stream].FindLastIndex(record =>
        Sent[(made.Stream, record.Number)].Acknowledged is { } acknowledged && acknowledged <= made.Begin && IsFirst(made.Stream, record));

    // A send that is repeated may leave two records.
    private bool IsFirst(int stream, StreamRecord record)
    {
        if (!_firsts.TryGetValue((stream, record.Number), out var first))
            _firsts[(stream, record.Number)] = first = Log[stream].Find(one => one.Number == record.Number).Offset;
        return first == record.Offset;
    }

    private int? PlaceOf(SubscriptionEvent one) =>
        _places.TryGetValue(one.Stream, out var places) && places.TryGetValue((one.Partition, one.Offset), out var place) ? place : null;

    private string Some(int stream, IEnumerable<int> places)
    {
        var all = places.ToList();
        var some = all.Take(5).Select(place => Log[stream][place]).Select(static record => $"{record.Number}@{record.Offset}");
        return $"{all.Count} event(s): {string.Join(' ', some)}";
    }

    private static string Name(SubscriptionEvent one) => $"subscription {one.Subscription} of {one.Subscriber} to stream {one.Stream}";
}
