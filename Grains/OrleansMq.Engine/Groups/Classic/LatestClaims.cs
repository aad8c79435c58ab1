using OrleansMq.Groups.Assignment;

namespace OrleansMq.Groups.Classic;

/// <summary>What the members of a group claim to own, in their subscriptions and by their assignments: the latest claim to each partition.
/// A member whose claim is older has lost the partition since, whether it knows or not.</summary>
internal sealed class LatestClaims
{
    private readonly Dictionary<TopicPartition, (int Generation, HashSet<string> MemberIds)> _latest = [];

    private LatestClaims()
    {
    }

    /// <summary>Reads the claims of a group in the generation of its members' assignments. Bytes of other kinds claim nothing.</summary>
    public static LatestClaims Of(ClassicGroupState state)
    {
        var claims = new LatestClaims();
        foreach (var member in state.Members.Values)
        {
            foreach (var offered in member.Protocols)
            {
                if (ConsumerProtocol.TryDecodeSubscription(offered.Metadata, out var subscription, out _))
                    claims.Add(member.MemberId, subscription.OwnedPartitions, GenerationOf(subscription));
            }
            if (ConsumerProtocol.TryDecodeAssignment(member.Assignment, out var assignment, out _))
                claims.Add(member.MemberId, assignment.Partitions, state.Generation);
        }
        return claims;
    }

    /// <summary>Whether no other member has a later claim.</summary>
    public bool IsNewest(TopicPartition partition, string memberId) => _latest[partition].MemberIds.Contains(memberId);

    private static int GenerationOf(ConsumerSubscription subscription) =>
        subscription.Generation >= 0 ? subscription.Generation : StickyUserData.Decode(subscription.UserData).Generation;

    private void Add(string memberId, IReadOnlyList<TopicPartition> partitions, int generation)
    {
        foreach (var partition in partitions)
        {
            if (!_latest.TryGetValue(partition, out var latest) || latest.Generation < generation)
                _latest[partition] = (generation, new HashSet<string>(StringComparer.Ordinal) { memberId });
            else if (latest.Generation == generation)
                latest.MemberIds.Add(memberId);
        }
    }
}
