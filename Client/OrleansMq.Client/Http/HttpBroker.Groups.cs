using System.Net.Http.Json;
using OrleansMq.Groups;

namespace OrleansMq.Client.Http;

/// <content>Groups: what the broker works out by itself, in one request for all partitions.</content>
public sealed partial class HttpBroker
{
    /// <summary>How far a group is behind, by topic and partition; see <see cref="GroupLag"/>.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.GroupIdNotFound"/>, <see cref="ErrorCode.InvalidGroupId"/>;
    /// <see cref="ErrorCode.CoordinatorNotAvailable"/>: retry.</exception>
    public ValueTask<IReadOnlyList<PartitionLag>> GetGroupLagAsync(string groupId, CancellationToken cancellationToken = default) =>
        AskAsync(HttpMethod.Get, GroupRoutes.PathOf(groupId) + "/lag", null, GroupJson.Default.IReadOnlyListPartitionLag,
            cancellationToken);

    /// <summary>Works a reset of a group's offsets out, and does it where asked to; see <see cref="GroupOffsetResets"/>.</summary>
    /// <param name="reset">What to reset, and where to.</param>
    /// <param name="execute">Whether it is done.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <exception cref="BrokerException">See <see cref="GroupOffsetResets.PlanAsync(OffsetReset, CancellationToken)"/> and
    /// <see cref="GroupOffsetResets.ExecuteAsync(OffsetReset, CancellationToken)"/>.</exception>
    public ValueTask<OffsetResetPlan> ResetGroupOffsetsAsync(OffsetReset reset, bool execute, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(reset);
        var body = ResetOffsetsBody.Of(reset, execute);
        return AskAsync(HttpMethod.Post, GroupRoutes.PathOf(reset.GroupId) + "/reset",
            () => JsonContent.Create(body, GroupJson.Default.ResetOffsetsBody),
            GroupJson.Default.OffsetResetPlan, cancellationToken);
    }
}
