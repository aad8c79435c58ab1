namespace OrleansMq.Gateways.Tls;

/// <summary>A client's first byte is not that of a TLS handshake.</summary>
internal sealed class NotTlsException() : IOException("the client does not speak TLS");
