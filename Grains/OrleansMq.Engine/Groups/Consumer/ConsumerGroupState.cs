using System.Collections.Immutable;
using System.Text.Json.Serialization;
using OrleansMq.Api;

namespace OrleansMq.Groups.Consumer;

/// <summary>
/// A group of the consumer protocol (KIP-848) as it is stored: one document, written before anything in it is told. A partition is
/// <em>held</em> by the member that has it in <see cref="ConsumerMember.Assigned"/> or <see cref="ConsumerMember.Revoking"/>; no two
/// members ever hold the same one.
/// </summary>
public sealed record ConsumerGroupState
{
    /// <summary>A group that nobody has joined. Epochs go on from those of what it was before.</summary>
    /// <param name="now">The time.</param>
    /// <param name="epoch">The generation of the classic group it was; 0 if it was none.</param>
    public static ConsumerGroupState Create(DateTimeOffset now, int epoch = 0) =>
        new() { GroupEpoch = epoch, TargetEpoch = epoch, EmptySince = now };

    /// <summary>Rises whenever members, subscriptions or the topics they read change.</summary>
    public int GroupEpoch { get; init; }

    /// <summary>The group epoch that the members' <see cref="ConsumerMember.Target"/> was worked out for. Behind <see cref="GroupEpoch"/>
    /// only while the topics are not known.</summary>
    public int TargetEpoch { get; init; }

    /// <summary>The assignor that worked the target out; null before the first.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Assignor { get; init; }

    /// <summary>The topics that members read, as they were when the target was worked out, by name: a difference is what a rebalance is
    /// for.</summary>
    public ImmutableSortedDictionary<string, ConsumerTopic> Topics
    {
        get;
        init => field = value.WithComparers(StringComparer.Ordinal); // The JSON reader makes one that compares by culture.
    } = ImmutableSortedDictionary.Create<string, ConsumerTopic>(StringComparer.Ordinal);

    /// <summary>The members by id, in ordinal order.</summary>
    public ImmutableSortedDictionary<string, ConsumerMember> Members
    {
        get;
        init => field = value.WithComparers(StringComparer.Ordinal);
    } = ImmutableSortedDictionary.Create<string, ConsumerMember>(StringComparer.Ordinal);

    /// <summary>Since when it has no members; null where it has.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public DateTimeOffset? EmptySince { get; init; }

    /// <summary>What the group is doing.</summary>
    [JsonIgnore]
    public GroupState State => Members.IsEmpty ? GroupState.Empty
        : TargetEpoch < GroupEpoch ? GroupState.Assigning
        : Members.Values.Any(member => !member.IsSettled(TargetEpoch)) ? GroupState.Reconciling
        : GroupState.Stable;

    /// <summary>With this member, instead of the one that had its id.</summary>
    public ConsumerGroupState With(ConsumerMember member) => this with { Members = Members.SetItem(member.MemberId, member) };

    /// <summary>The member with that instance id.</summary>
    public ConsumerMember? FindStatic(string instanceId) => Members.Values.FirstOrDefault(member => member.InstanceId == instanceId);
}

/// <summary>A topic that members read.</summary>
/// <param name="TopicId">Its id.</param>
/// <param name="Partitions">How many partitions it had.</param>
public sealed record ConsumerTopic(Guid TopicId, int Partitions);
