namespace OrleansMq.Api;

/// <summary>
/// Consumer groups: their members, assignments and committed offsets. One implementation runs in process, one over grains, one over HTTP in
/// the client library. Each finds the coordinator of a group on its own. Thread-safe.
/// <para>There are two protocols. In the <em>classic</em> one (join, sync, heartbeat, leave) the group leader, a member, assigns
/// partitions. In the <em>consumer</em> protocol (KIP-848) the coordinator assigns, and members receive their assignment with
/// heartbeats.</para>
/// </summary>
/// <seealso cref="GroupRequests">The requests by name.</seealso>
public interface IGroupCoordinator
{
    /// <summary>Sends a request to the coordinator of its group. Whatever the response contains (a member id, a generation, an assignment,
    /// a committed offset) is stored before the response is sent.</summary>
    /// <param name="request">One of the requests in this namespace; its bytes must not be changed afterwards.</param>
    /// <param name="cancellationToken">Ends the wait; the request may be executed nevertheless.</param>
    /// <returns>The response. A protocol request that is refused has the error in its response.</returns>
    /// <exception cref="BrokerException">An administrative request was refused.</exception>
    ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken = default);

    /// <summary>Finds the broker that currently coordinates a group. Any broker serves any group; this one serves it without a
    /// hop.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidGroupId"/>; <see cref="ErrorCode.CoordinatorNotAvailable"/>:
    /// retry.</exception>
    ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken = default);

    /// <summary>Lists all groups of the cluster, ordered by id (ordinal).</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.CoordinatorNotAvailable"/>: retry.</exception>
    ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken = default);

    /// <summary>Lists the ids that have a configuration, in ordinal order: of groups, and such that no group has at the moment.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.CoordinatorNotAvailable"/>: retry.
    /// <see cref="ErrorCode.UnsupportedVersion"/>: the HTTP API does not list them.</exception>
    ValueTask<IReadOnlyList<string>> ListConfiguredAsync(CancellationToken cancellationToken = default) =>
        ValueTask.FromException<IReadOnlyList<string>>(new BrokerException(ErrorCode.UnsupportedVersion,
            "The configurations of groups are not listed here: use the Kafka protocol."));
}
