namespace OrleansMq.Gateways.Kafka.Requests;

/// <summary>A peer violated the protocol, so its connection is closed. The message has the violation.</summary>
internal sealed class MalformedRequestException(string message) : Exception(message);
