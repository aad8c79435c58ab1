using OrleansMq.Groups;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>What checkers want to know of a stored group, whatever protocol forms it.</summary>
internal static class GroupView
{
    /// <summary>The generation, or the group epoch; -1 where there is no group.</summary>
    public static int GenerationOf(GroupDocument? group) => group?.Classic?.Generation ?? -1;

    public static GroupState StateOf(GroupDocument? group) => group?.Classic?.State ?? GroupState.Empty;

    public static IEnumerable<string> MembersOf(GroupDocument? group) => group?.Classic?.Members.Keys ?? [];

    /// <summary>The generation or epoch that a member is in; null where it is no member.</summary>
    public static int? EpochOf(GroupDocument? group, string memberId) =>
        group?.Classic is { } classic && classic.Members.ContainsKey(memberId) ? classic.Generation : null;

    /// <summary>Who a member is beyond a restart: its instance id, or else its member id.</summary>
    public static string LineageOf(GroupDocument? group, string memberId) =>
        group?.Classic is { } classic && classic.Members.TryGetValue(memberId, out var member) ? member.GroupInstanceId ?? memberId : memberId;
}
