using OrleansMq.Api;

namespace OrleansMq.Grains;

/// <summary>
/// One consumer group, under its id, active where it is coordinated: <c>grains.GetGrain&lt;IGroupGrain&gt;("billing")</c>.
/// <see cref="IBroker.Groups"/> and the consumers of the client library are made of it.
/// <para>Outcomes of the protocols are returned as <see cref="ErrorCode"/>, not thrown; <see cref="ErrorCodes.Action"/> says whether to
/// retry. <see cref="ErrorCode.NotCoordinator"/>: the group is on its way to another broker; nothing was done, send the same again at once.
/// <see cref="ErrorCode.CoordinatorNotAvailable"/>: its state can be neither read nor written at the moment; retry. A
/// <see cref="TimeoutException"/> or an Orleans exception means that the outcome is unknown: every call may be sent again, a first join
/// without a member id at the price of a member that nobody is, until its session ends.</para>
/// <para>No call takes longer than 10 seconds, since a client outside the silos is not told when the silo that it waits for dies.</para>
/// <para>Bytes that are handed in (metadata, assignments) must not be changed afterwards: on one silo they are kept, not copied.</para>
/// </summary>
[Alias("omq.IGroupGrain")]
public interface IGroupGrain : IGrainWithStringKey
{
    /// <summary>The broker on whose silo the group is coordinated now.</summary>
    [Alias("FindCoordinator")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<int> FindCoordinatorAsync();

    /// <summary>See <see cref="IGroupCoordinator.JoinGroupAsync"/>. A join is answered when all members have joined, which may take
    /// minutes: where that is not within 5 seconds this returns null, and the caller goes on waiting by calling again.</summary>
    /// <param name="request">The same in every call.</param>
    /// <param name="wait">A new id for every join, the same in the calls that wait for it: a join is made once, however often it is waited
    /// for.</param>
    /// <returns>The answer; null: none yet, call again within 10 seconds.</returns>
    [Alias("JoinGroup")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<JoinGroupResult?> JoinGroupAsync(JoinGroup request, Guid wait);

    /// <summary>See <see cref="IGroupCoordinator.SyncGroupAsync"/>. Waits as <see cref="JoinGroupAsync"/> does.</summary>
    /// <param name="request">The same in every call.</param>
    /// <param name="wait">A new id for every request, the same in the calls that wait for it.</param>
    /// <returns>The answer; null: none yet, call again within 10 seconds.</returns>
    [Alias("SyncGroup")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<SyncGroupResult?> SyncGroupAsync(SyncGroup request, Guid wait);

    /// <summary>See <see cref="IGroupCoordinator.HeartbeatAsync"/>.</summary>
    [Alias("Heartbeat")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<GroupReply> HeartbeatAsync(Heartbeat request);

    /// <summary>See <see cref="IGroupCoordinator.LeaveGroupAsync"/>.</summary>
    [Alias("LeaveGroup")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<LeaveGroupResult> LeaveGroupAsync(LeaveGroup request);

    /// <summary>See <see cref="IGroupCoordinator.ConsumerGroupHeartbeatAsync"/>.</summary>
    /// <param name="request">Its <see cref="ConsumerGroupHeartbeat.MaxWait"/> counts up to 5 seconds.</param>
    [Alias("ConsumerGroupHeartbeat")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<ConsumerGroupHeartbeatResult> ConsumerGroupHeartbeatAsync(ConsumerGroupHeartbeat request);

    /// <summary>See <see cref="IGroupCoordinator.CommitOffsetsAsync"/>.</summary>
    [Alias("CommitOffsets")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<OffsetCommitResult> CommitOffsetsAsync(OffsetCommit request);

    /// <summary>See <see cref="IGroupCoordinator.FetchOffsetsAsync"/>.</summary>
    [Alias("FetchOffsets")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<OffsetFetchResult> FetchOffsetsAsync(OffsetFetch request);

    /// <summary>See <see cref="IGroupCoordinator.DeleteOffsetsAsync"/>.</summary>
    [Alias("DeleteOffsets")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<OffsetDeleteResult> DeleteOffsetsAsync(OffsetDelete request);

    /// <summary>The group as it stands in a list; null where there is no such group.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.NotCoordinator"/>, <see cref="ErrorCode.CoordinatorNotAvailable"/>:
    /// retry.</exception>
    [Alias("Find")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<GroupListing?> FindAsync();

    /// <summary>The group and its members.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.GroupIdNotFound"/>: abort; <see cref="ErrorCode.NotCoordinator"/>,
    /// <see cref="ErrorCode.CoordinatorNotAvailable"/>: retry.</exception>
    [Alias("Describe")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<GroupDescription> DescribeAsync();

    /// <summary>Deletes the group, which must have no members, with its offsets. Sent again after it was done it says that there is no such
    /// group.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.GroupIdNotFound"/>, <see cref="ErrorCode.NonEmptyGroup"/>: abort;
    /// <see cref="ErrorCode.NotCoordinator"/>, <see cref="ErrorCode.CoordinatorNotAvailable"/>: retry.</exception>
    [Alias("Delete")]
    [ResponseTimeout(GrainTimes.Data)]
    Task DeleteAsync();
}
