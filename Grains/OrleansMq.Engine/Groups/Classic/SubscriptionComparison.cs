using OrleansMq.Api;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Groups.Classic;

/// <summary>Whether a static member that comes back wants something else than before.</summary>
internal static class SubscriptionComparison
{
    /// <summary>Compares what a member said to the generation's protocol with what it says now. Of a consumer the topics count alone: what
    /// it held before it stopped stands in the bytes too, and is no wish.</summary>
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
