using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Grains.Access;

namespace OrleansMq.Grains;

/// <summary>
/// One consumer group, under its id, active on its coordinator's silo: <c>grains.GetGrain&lt;IGroupGrain&gt;("billing")</c>.
/// <see cref="IBroker.Groups"/> and the client library's consumers are built on it.
/// <para>Errors are returned in the answer, not thrown; <see cref="ErrorCodes.Action"/> says whether to retry.</para>
/// <list type="bullet">
/// <item><see cref="ErrorCode.NotCoordinator"/>: the group is moving to another broker. Nothing was done; send the same request again at
/// once.</item>
/// <item><see cref="ErrorCode.CoordinatorNotAvailable"/>: the group's state can currently be neither read nor written; retry.</item>
/// <item><see cref="TimeoutException"/> or an Orleans exception: the outcome is unknown, and every request may be sent again. A repeated
/// first join without a member id may leave an unused member until its session times out.</item>
/// </list>
/// <para>No call takes longer than 10 seconds, since Orleans does not tell a client outside the silos that a silo died.</para>
/// <para>Bytes that are passed in (metadata, assignments) must not change afterwards: within one silo they are kept, not copied.</para>
/// </summary>
[Alias("omq.IGroupGrain")]
public interface IGroupGrain : IGrainWithStringKey
{
    /// <summary>Returns the broker whose silo coordinates the group now.</summary>
    [Alias("FindCoordinator")]
    [ResponseTimeout(GrainTimes.Data)]
    [GrainRule(AccessOperation.Describe, ResourceType.Group)]
    Task<int> FindCoordinatorAsync(CancellationToken cancellationToken = default);

    /// <summary>Executes a request. The answer to one that waits for members may take minutes. After 5 seconds without it this returns
    /// null, and the caller waits on by calling again.</summary>
    /// <param name="request">A request of this group, the same in every call. <see cref="ConsumerGroupHeartbeat.MaxWait"/> is capped at 5
    /// seconds.</param>
    /// <param name="wait">Used if <see cref="ICoordinatorRequest.WaitsForOthers"/>: a new id for each request, repeated in the calls that
    /// wait for it, so that the request takes effect only once.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The answer, or the refusal that <see cref="ICoordinatorRequest.Refuse"/> makes; null for none yet: call again within 10
    /// seconds.</returns>
    [Alias("Send")]
    [ResponseTimeout(GrainTimes.Data)]
    [RuleOfRequest]
    Task<object?> SendAsync(IGroupRequest request, Guid wait, CancellationToken cancellationToken = default);
}
