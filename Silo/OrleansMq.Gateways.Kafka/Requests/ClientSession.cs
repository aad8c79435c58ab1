using OrleansMq.Access;
using OrleansMq.Quotas;

namespace OrleansMq.Gateways.Kafka.Requests;

/// <summary>The session of a connection. A client that changes its id, or authenticates, gets another. For one caller at a time.</summary>
internal sealed class ClientSession(BrokerAccess access, IConnection connection)
{
    private SessionAccess? _opened;

    /// <summary>What the client of the last request may use; null before, and where nothing is limited.</summary>
    public ClientQuotas? Quotas => _opened?.Quotas;

    /// <summary>The session for a request of a client that gives itself that id.</summary>
    public SessionAccess For(string clientId) => _opened is { } opened && opened.Session.ClientId == clientId
            && opened.Session.Principal == connection.Principal
        ? opened
        : _opened = access.Open(new BrokerSession(connection.Principal, clientId, connection.LocalEndPoint.ToString(),
            connection.RemoteEndPoint.Address.ToString(), SessionProtocol.Kafka));
}
