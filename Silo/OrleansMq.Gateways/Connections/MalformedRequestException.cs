namespace OrleansMq.Gateways.Connections;

/// <summary>A client broke the protocol: its connection is closed. The message says how.</summary>
internal sealed class MalformedRequestException(string message) : Exception(message);
