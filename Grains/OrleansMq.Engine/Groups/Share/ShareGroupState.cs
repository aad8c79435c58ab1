using System.Collections.Immutable;
using System.Text.Json.Serialization;
using OrleansMq.Api;
using OrleansMq.Groups.Consumer;

namespace OrleansMq.Groups.Share;

/// <summary>The stored state of a share group (KIP-932): its members, and the cursors that its partitions' leaders keep. Several
/// members may have the same partition. A share group without members stays until it is deleted, as in Kafka.</summary>
internal sealed record ShareGroupState
{
    /// <summary>The group epoch, which increases whenever members, subscriptions or their topics change.</summary>
    public int GroupEpoch { get; init; }

    /// <summary>The group epoch for which the members' assignment was computed. It is below <see cref="GroupEpoch"/> until the next
    /// heartbeat.</summary>
    public int TargetEpoch { get; init; }

    /// <summary>The subscribed topics by name, as of the computation of the assignment.</summary>
    public ImmutableSortedDictionary<string, ConsumerTopic> Topics
    {
        get;
        init => field = value.WithComparers(StringComparer.Ordinal); // The JSON reader creates one that compares by culture.
    } = ImmutableSortedDictionary.Create<string, ConsumerTopic>(StringComparer.Ordinal);

    /// <summary>The members by id, in ordinal order.</summary>
    public ImmutableSortedDictionary<string, ShareMember> Members
    {
        get;
        init => field = value.WithComparers(StringComparer.Ordinal);
    } = ImmutableSortedDictionary.Create<string, ShareMember>(StringComparer.Ordinal);

    /// <summary>The cursors by topic, ordered by its id. They stay when the last member leaves.</summary>
    public ImmutableArray<ShareTopicCursors> Cursors { get; init; } = [];

    /// <summary>The configuration, in documents of the time when it was deleted with the group; else null. It moves to
    /// the group's document when it is read.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ImmutableSortedDictionary<string, string>? Configs { get; init; }

    /// <summary>The state of the group.</summary>
    [JsonIgnore]
    public GroupState State => Members.IsEmpty ? GroupState.Empty : GroupState.Stable;

    /// <summary>Returns the cursors in a topic; null for none.</summary>
    public ShareTopicCursors? Find(Guid topicId)
    {
        foreach (var cursors in Cursors)
        {
            if (cursors.TopicId == topicId)
                return cursors;
        }
        return null;
    }

    /// <summary>Returns the group with a topic's cursors added or replaced.</summary>
    public ShareGroupState With(ShareTopicCursors cursors) => this with
    {
        Cursors = [.. Cursors.Where(known => known.TopicId != cursors.TopicId).Append(cursors).OrderBy(known => known.TopicId)],
    };
}

/// <summary>A member of a share group.</summary>
internal sealed record ShareMember
{
    /// <summary>The member's id.</summary>
    public required string MemberId { get; init; }

    /// <summary>The member's rack; null for none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? RackId { get; init; }

    /// <summary>The client's name for itself.</summary>
    public string ClientId { get; init; } = "";

    /// <summary>The client's address.</summary>
    public string ClientHost { get; init; } = "";

    /// <summary>The topics subscribed to, in ordinal order.</summary>
    public ImmutableArray<string> TopicNames { get; init; } = [];

    /// <summary>The last epoch sent to it; 0 before the first.</summary>
    public int Epoch { get; init; }

    /// <summary>Its epoch before <see cref="Epoch"/>, which it still uses if it missed the response.</summary>
    public int PreviousEpoch { get; init; }

    /// <summary>Its assignment.</summary>
    public PartitionSet Assigned { get; init; } = PartitionSet.Empty;
}
