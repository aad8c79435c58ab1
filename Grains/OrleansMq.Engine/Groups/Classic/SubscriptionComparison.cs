using OrleansMq.Api;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Groups.Classic;

/// <summary>Detects whether a rejoining static member has changed its subscription.</summary>
internal static class SubscriptionComparison
{
    /// <summary>Compares a member's metadata for the generation's protocol with its new metadata. For a consumer only the topics are
    /// compared: the metadata also contains the partitions that it owned, which are not part of the subscription.</summary>
    public static bool IsChanged(ClassicGroupState state, ClassicMember before, JoinGroup request)
    {
        var offered = request.Protocols.FirstOrDefault(protocol => protocol.Name == state.ProtocolName);
        if (offered is null)
            return true;
        var earlier = before.MetadataOf(state.ProtocolName);
        if (offered.Metadata.Span.SequenceEqual(earlier.Span))
            return false;
        return !state.IsOfConsumers
            || !ConsumerProtocol.TryDecodeSubscription(earlier, out var was, out _)
            || !ConsumerProtocol.TryDecodeSubscription(offered.Metadata, out var wants, out _)
            || !was.Topics.ToHashSet(StringComparer.Ordinal).SetEquals(wants.Topics);
    }
}
