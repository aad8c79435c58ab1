namespace OrleansMq.Api;

/// <summary>
/// Consumer groups: their members, the assignment of partitions to members, and committed offsets. One implementation runs in process, one
/// over grains, one over HTTP in the client library; each finds the coordinator of a group by itself. Thread safe.
/// <para>Two protocols form groups. The <em>classic</em> one (join, sync, heartbeat, leave): the members' leader assigns partitions. The
/// <em>consumer</em> protocol (KIP-848): the coordinator assigns, and members learn of it from their heartbeats.</para>
/// </summary>
/// <seealso cref="GroupRequests">The requests by name.</seealso>
public interface IGroupCoordinator
{
    /// <summary>Sends a request to the coordinator of its group. All that an answer reveals (a member id, a generation, an assignment, a
    /// committed offset) is stored before the answer is given.</summary>
    /// <param name="request">One of the requests in this namespace; its bytes must not be changed afterwards.</param>
    /// <param name="cancellationToken">Ends the wait. Whether the request was carried out is then unknown.</param>
    /// <returns>The answer. Requests of the protocols are refused by the error in it.</returns>
    /// <exception cref="BrokerException">A request of administration was refused.</exception>
    ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken = default);

    /// <summary>Finds the broker that coordinates a group now. Any broker serves any group; this one without a hop.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidGroupId"/>; <see cref="ErrorCode.CoordinatorNotAvailable"/>:
    /// retry.</exception>
    ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken = default);

    /// <summary>Lists all groups of the cluster, by id in ordinal order.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.CoordinatorNotAvailable"/>: retry.</exception>
    ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken = default);
}
