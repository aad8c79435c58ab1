using System.Collections.Immutable;
using System.Text.Json.Serialization;
using OrleansMq.Api;

namespace OrleansMq.Groups.Consumer;

/// <summary>
/// The stored state of a group of the consumer protocol (KIP-848): one document, written before anything in it is sent to members. A
/// partition is <em>held</em> by the member that has it in <see cref="ConsumerMember.Assigned"/> or <see cref="ConsumerMember.Revoking"/>.
/// No two members ever hold the same partition.
/// </summary>
internal sealed record ConsumerGroupState
{
    /// <summary>Creates the state of a group without members. Epochs continue from those of the former group.</summary>
    /// <param name="now">The current time.</param>
    /// <param name="epoch">The last generation, if it was a classic group; otherwise 0.</param>
    public static ConsumerGroupState Create(DateTimeOffset now, int epoch = 0) =>
        new() { GroupEpoch = epoch, TargetEpoch = epoch, EmptySince = now };

    /// <summary>The group epoch, which increases whenever members, subscriptions or their topics change.</summary>
    public int GroupEpoch { get; init; }

    /// <summary>The group epoch for which the members' <see cref="ConsumerMember.Target"/> was computed. It is below
    /// <see cref="GroupEpoch"/> only while the topics are unknown.</summary>
    public int TargetEpoch { get; init; }

    /// <summary>The assignor that computed the target; null before the first.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Assignor { get; init; }

    /// <summary>The subscribed topics by name, as of the computation of the target. A difference triggers a rebalance.</summary>
    public ImmutableSortedDictionary<string, ConsumerTopic> Topics
    {
        get;
        init => field = value.WithComparers(StringComparer.Ordinal); // The JSON reader creates one that compares by culture.
    } = ImmutableSortedDictionary.Create<string, ConsumerTopic>(StringComparer.Ordinal);

    /// <summary>The members by id, in ordinal order.</summary>
    public ImmutableSortedDictionary<string, ConsumerMember> Members
    {
        get;
        init => field = value.WithComparers(StringComparer.Ordinal);
    } = ImmutableSortedDictionary.Create<string, ConsumerMember>(StringComparer.Ordinal);

    /// <summary>Since when it has no members; null if it has any.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public DateTimeOffset? EmptySince { get; init; }

    /// <summary>The state of the group.</summary>
    [JsonIgnore]
    public GroupState State => Members.IsEmpty ? GroupState.Empty
        : TargetEpoch < GroupEpoch ? GroupState.Assigning
        : Members.Values.Any(member => !member.IsSettled(TargetEpoch)) ? GroupState.Reconciling
        : GroupState.Stable;

    /// <summary>Returns the group with a member added or replaced by id.</summary>
    public ConsumerGroupState With(ConsumerMember member) => this with { Members = Members.SetItem(member.MemberId, member) };

    /// <summary>Returns the member with an instance id; null for none.</summary>
    public ConsumerMember? FindStatic(string instanceId) => Members.Values.FirstOrDefault(member => member.InstanceId == instanceId);
}

/// <summary>A subscribed topic.</summary>
/// <param name="TopicId">Its id.</param>
/// <param name="Partitions">The number of its partitions.</param>
internal sealed record ConsumerTopic(Guid TopicId, int Partitions);
