using OrleansMq.Api;

namespace OrleansMq.Grains;

/// <summary>
/// One consumer group, under its id, active where it is coordinated: <c>grains.GetGrain&lt;IGroupGrain&gt;("billing")</c>.
/// <see cref="IBroker.Groups"/> and the consumers of the client library are made of it.
/// <para>Errors are returned in the answer, not thrown; <see cref="ErrorCodes.Action"/> says whether to retry.
/// <see cref="ErrorCode.NotCoordinator"/>: the group is on its way to another broker; nothing was done, send the same request again at
/// once. <see cref="ErrorCode.CoordinatorNotAvailable"/>: its state can be neither read nor written at the moment; retry.</para>
/// <para>A <see cref="TimeoutException"/> or an Orleans exception means that the outcome is unknown. Every request may be sent again. A
/// first join without a member id then leaves an unused member behind, until that member's session ends.</para>
/// <para>No call takes longer than 10 seconds, since a client outside the silos is not told when the silo that it waits for dies.</para>
/// <para>Bytes that are handed in (metadata, assignments) must not be changed afterwards: on one silo they are kept, not copied.</para>
/// </summary>
[Alias("omq.IGroupGrain")]
public interface IGroupGrain : IGrainWithStringKey
{
    /// <summary>Finds the broker on whose silo the group is coordinated now.</summary>
    [Alias("FindCoordinator")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<int> FindCoordinatorAsync();

    /// <summary>Carries a request out. The answer to one that waits for members may take minutes: where it is not there within 5 seconds
    /// this returns null, and the caller waits on by calling again.</summary>
    /// <param name="request">A request of this group, the same in every call.
    /// <see cref="ConsumerGroupHeartbeat.MaxWait"/> counts up to 5 seconds.</param>
    /// <param name="wait">Read where <see cref="IGroupRequest.WaitsForMembers"/>: a new id for every request, the same in the calls that
    /// wait for it. The request is carried out once, however often it is waited for.</param>
    /// <returns>The answer, or the refusal that <see cref="IGroupRequest.Refuse"/> makes; null: none yet, call again within 10
    /// seconds.</returns>
    [Alias("Send")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<object?> SendAsync(IGroupRequest request, Guid wait);
}
