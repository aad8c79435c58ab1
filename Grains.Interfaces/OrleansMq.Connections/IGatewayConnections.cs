namespace OrleansMq.Connections;

/// <summary>Is told of Orleans clients' connections to a silo's gateway.</summary>
internal interface IGatewayConnections
{
    /// <summary>A connection has ended.</summary>
    /// <param name="beginning">Its first bytes. They contain the client's id.</param>
    void OnConnectionEnded(byte[] beginning);
}
