using OrleansMq.Access;

namespace OrleansMq.Gateways.Kafka.Requests;

/// <summary>The session of a connection. A client that changes its id gets another. For one caller at a time.</summary>
internal sealed class ClientSession(BrokerAccess access, IConnection connection)
{
    private SessionAccess? _opened;

    /// <summary>The session for a request of a client that gives itself that id.</summary>
    public SessionAccess For(string clientId) => _opened is { } opened && opened.Session.ClientId == clientId
        ? opened
        : _opened = access.Open(new BrokerSession(connection.CertificatePrincipal ?? BrokerSession.Anonymous, clientId,
            connection.LocalEndPoint.ToString(), connection.RemoteEndPoint.Address.ToString(), SessionProtocol.Kafka));
}
