using OrleansMq.Access;

namespace OrleansMq.Security;

/// <summary>Administration of the keys of tickets, as a session may use it: changes need Alter on the cluster.</summary>
/// <param name="session">The session.</param>
/// <param name="tickets">The tickets; null for a broker without.</param>
internal sealed class SessionTickets(SessionAccess session, BrokerTickets? tickets)
{
    /// <summary>Replaces the key that tickets are made with. Tickets of the one before are good until they expire.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.ClusterAuthorizationFailed"/>;
    /// <see cref="ErrorCode.CoordinatorNotAvailable"/>; <see cref="ErrorCode.UnsupportedVersion"/>: the broker has no tickets.</exception>
    public async ValueTask ReplaceKeyAsync(CancellationToken cancellationToken)
    {
        await Demanded().ReplaceKeyAsync(cancellationToken).ConfigureAwait(false);
        session.Audit("replaced the key of tickets.");
    }

    /// <summary>Drops the keys that were replaced: tickets that were made with them are refused from then on.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.ClusterAuthorizationFailed"/>;
    /// <see cref="ErrorCode.CoordinatorNotAvailable"/>; <see cref="ErrorCode.UnsupportedVersion"/>: the broker has no tickets.</exception>
    public async ValueTask DropOldKeysAsync(CancellationToken cancellationToken)
    {
        await Demanded().DropOldKeysAsync(cancellationToken).ConfigureAwait(false);
        session.Audit("dropped the replaced keys of tickets.");
    }

    private BrokerTickets Demanded()
    {
        session.Demand(AccessOperation.Alter, ResourceType.Cluster);
        return tickets ?? throw new BrokerException(ErrorCode.UnsupportedVersion,
            "This broker has no tickets: it runs without a silo, or without access control.");
    }
}
