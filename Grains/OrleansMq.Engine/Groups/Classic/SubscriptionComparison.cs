namespace OrleansMq.Groups.Classic;

/// <summary>Whether a static member that comes back wants something else than before.</summary>
internal static class SubscriptionComparison
{
    public static bool IsChanged(ClassicGroupState state, ClassicMember before, JoinGroup request)
    {
        var offered = request.Protocols.FirstOrDefault(protocol => protocol.Name == state.ProtocolName);
        return offered is null || !offered.Metadata.Span.SequenceEqual(before.MetadataOf(state.ProtocolName).Span);
    }
}
