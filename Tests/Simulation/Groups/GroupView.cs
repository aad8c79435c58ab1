using OrleansMq.Api;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>A stored group as the checkers see it, independent of its protocol.</summary>
internal static class GroupView
{
    /// <summary>Returns the generation or the group epoch; -1 if there is no group.</summary>
    public static int GenerationOf(GroupDocument? group) =>
        group?.Classic is { } classic ? Math.Max(classic.Generation, classic.LastEpoch) : group?.Consumer?.GroupEpoch ?? -1;

    public static GroupState StateOf(GroupDocument? group) => group?.Classic?.State ?? group?.Consumer?.State ?? GroupState.Empty;

    public static IEnumerable<string> MembersOf(GroupDocument? group) =>
        group?.Classic?.Members.Keys ?? group?.Consumer?.Members.Keys ?? [];

    /// <summary>Returns the generation or epoch of a member; null if it is no member.</summary>
    public static int? EpochOf(GroupDocument? group, string memberId) => group switch
    {
        { Classic: { } classic } => classic.Members.ContainsKey(memberId) ? classic.Generation : null,
        { Consumer: { } consumer } => consumer.Members.TryGetValue(memberId, out var member) ? member.Epoch : null,
        _ => null,
    };

    /// <summary>Returns the member with that instance id; null if there is none.</summary>
    public static string? StaticOf(GroupDocument? group, string? instance) =>
        instance is null ? null : group?.Classic?.FindStatic(instance)?.MemberId ?? group?.Consumer?.FindStatic(instance)?.MemberId;

    /// <summary>Returns the identity of a member across restarts: its instance id, or else its member id.</summary>
    public static string LineageOf(GroupDocument? group, string memberId) => group switch
    {
        { Classic: { } classic } => classic.Members.GetValueOrDefault(memberId)?.GroupInstanceId,
        { Consumer: { } consumer } => consumer.Members.GetValueOrDefault(memberId)?.InstanceId,
        _ => null,
    } ?? memberId;
}
