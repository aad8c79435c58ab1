using System.Diagnostics.CodeAnalysis;

namespace OrleansMq.Groups.Assignment;

/// <summary>The assignors that the coordinator runs for the consumer protocol (KIP-848).</summary>
internal static class ServerAssignors
{
    /// <summary>The assignor of a group whose members request none.</summary>
    public static IAssignor Default { get; } = new UniformAssignor();

    /// <summary>All server assignors, the default first.</summary>
    public static IReadOnlyList<IAssignor> All { get; } = [Default, new StickyRangeAssignor()];

    /// <summary>Finds an assignor by name.</summary>
    public static bool TryGet(string name, [NotNullWhen(true)] out IAssignor? assignor) =>
        (assignor = All.FirstOrDefault(candidate => candidate.Name == name)) is not null;
}
