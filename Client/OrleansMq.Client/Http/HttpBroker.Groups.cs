using System.Net.Http.Json;
using OrleansMq.Groups;

namespace OrleansMq.Client;

/// <content>Group operations that the broker computes itself, in one request for all partitions.</content>
public sealed partial class HttpBroker
{
    /// <summary>Returns a group's lag, ordered by topic and partition; see <see cref="GroupLag"/>.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.GroupIdNotFound"/>, <see cref="ErrorCode.InvalidGroupId"/>;
    /// <see cref="ErrorCode.CoordinatorNotAvailable"/>: retry.</exception>
    internal ValueTask<IReadOnlyList<PartitionLag>> GetGroupLagAsync(string groupId, CancellationToken cancellationToken = default) =>
        AskAsync(HttpMethod.Get, GroupRoutes.PathOf(groupId) + "/lag", null, GroupJson.Default.IReadOnlyListPartitionLag,
            cancellationToken);

    /// <summary>Returns where a share group is in its partitions; see <see cref="ShareProgress"/>.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.GroupIdNotFound"/>: there is no such share group;
    /// <see cref="ErrorCode.CoordinatorNotAvailable"/>: retry.</exception>
    internal ValueTask<IReadOnlyList<SharePartition>> GetSharePartitionsAsync(string groupId,
        CancellationToken cancellationToken = default) =>
        AskAsync(HttpMethod.Get, GroupRoutes.PathOf(groupId) + "/share", null, GroupJson.Default.IReadOnlyListSharePartition,
            cancellationToken);

    /// <summary>Plans a reset of a group's offsets, and executes it if requested; see <see cref="GroupOffsetResets"/>.</summary>
    /// <param name="reset">What to reset, and where to.</param>
    /// <param name="execute">Whether to execute the reset, or only plan it.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <exception cref="BrokerException">See <see cref="GroupOffsetResets.PlanAsync(OffsetReset, CancellationToken)"/> and
    /// <see cref="GroupOffsetResets.ExecuteAsync(OffsetReset, CancellationToken)"/>.</exception>
    internal ValueTask<OffsetResetPlan> ResetGroupOffsetsAsync(OffsetReset reset, bool execute,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(reset);
        var body = ResetOffsetsBody.Of(reset, execute);
        return AskAsync(HttpMethod.Post, GroupRoutes.PathOf(reset.GroupId) + "/reset",
            () => JsonContent.Create(body, GroupJson.Default.ResetOffsetsBody),
            GroupJson.Default.OffsetResetPlan, cancellationToken);
    }
}
