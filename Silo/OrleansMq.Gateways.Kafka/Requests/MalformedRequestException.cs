namespace OrleansMq.Gateways.Kafka.Requests;

/// <summary>A peer sent what is not the protocol: its connection is closed. The message says what.</summary>
internal sealed class MalformedRequestException(string message) : Exception(message);
