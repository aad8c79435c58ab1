using OrleansMq.Api;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>A coordinator's working state, ahead of the stored state.</summary>
internal sealed record CoreView(GroupState State, int Generation, bool IsConsumer, HashSet<string> Members,
    Dictionary<string, string> Instances, Dictionary<string, int> Epochs,
    IReadOnlyDictionary<string, DateTimeOffset> Deadlines, bool IsFirstRound)
{
    private static readonly Dictionary<string, DateTimeOffset> NoDeadlines = [];

    // What the view was made of: the stored part of the state, and the deadlines.
    private object? _state;

    public static CoreView None { get; } = new(GroupState.Empty, -1, false, [], [], [], NoDeadlines, false);

    /// <summary>Whether the group is at rest: all members have their partitions, or there are no members.</summary>
    public bool IsAtRest => State is GroupState.Stable or GroupState.Empty;

    /// <summary>Returns the view of a core; the last one while what it shows is unchanged.</summary>
    public static CoreView Of(GroupCore core, CoreView last)
    {
        if (core.Consumer is { State: var consumer } group)
        {
            return ReferenceEquals(last._state, consumer) && ReferenceEquals(last.Deadlines, group.Deadlines) ? last
                : new CoreView(consumer.State, consumer.GroupEpoch, true, [.. consumer.Members.Keys],
                    consumer.Members.Values.Where(m => m.InstanceId is not null).ToDictionary(m => m.MemberId, m => m.InstanceId!),
                    consumer.Members.Values.ToDictionary(m => m.MemberId, m => m.Epoch), group.Deadlines, false) { _state = consumer };
        }
        // Assigned ids alone make no group.
        if (core.Classic is not { State: var classic } || classic is { Generation: 0, State: GroupState.Empty })
            return None;
        var isFirstRound = core.Classic.Round.InitialUntil is not null;
        return ReferenceEquals(last._state, classic) && last.IsFirstRound == isFirstRound ? last
            : new CoreView(classic.State, Math.Max(classic.Generation, classic.LastEpoch), false, [.. classic.Members.Keys],
                classic.Members.Values.Where(m => m.GroupInstanceId is not null).ToDictionary(m => m.MemberId, m => m.GroupInstanceId!),
                classic.Members.Keys.ToDictionary(id => id, _ => classic.Generation), NoDeadlines, isFirstRound) { _state = classic };
    }

    public override string ToString() => $"{State} {Generation} of {Members.Count}";
}
