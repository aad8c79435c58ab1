using System.Net;

namespace OrleansMq.Gateways.Kafka;

/// <summary>One port of a Kafka gateway. Clients are sent to the listeners of the same name on the other brokers, so that those inside and
/// outside of a network, or with and without TLS, keep to their addresses.</summary>
public sealed record KafkaListener
{
    /// <summary>Its name, the same on all brokers; names differ also by more than case.</summary>
    public required string Name { get; init; }

    /// <summary>The endpoint to listen on. Port 0 takes a free port. The IPv6 any address includes IPv4.</summary>
    public required IPEndPoint Listen { get; init; }

    /// <summary>How clients connect.</summary>
    public SecurityProtocol Protocol { get; init; }

    /// <summary>The address that clients are sent to, as <c>host:port</c>; null: the address they dialled. In a cluster of several brokers
    /// the other brokers' registrations decide for those.</summary>
    public string? Advertised { get; init; }
}
