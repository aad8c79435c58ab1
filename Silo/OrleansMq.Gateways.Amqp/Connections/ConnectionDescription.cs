using System.Net;
using OrleansMq.Gateways.Amqp.Wire;

namespace OrleansMq.Gateways.Amqp.Connections;

/// <summary>An open connection at one moment, for operators.</summary>
internal sealed record ConnectionDescription
{
    /// <summary>The client's address, and the one that it dialled: no two connections of a broker have the same name at a time.</summary>
    public string Name => NameOf(Remote, Local);

    /// <summary>Its number among the connections of this process.</summary>
    public required long Number { get; init; }

    /// <summary>The client's address.</summary>
    public required IPEndPoint Remote { get; init; }

    /// <summary>The address that the client dialled.</summary>
    public required IPEndPoint Local { get; init; }

    /// <summary>What is known of the client.</summary>
    public required AmqpClient Client { get; init; }

    /// <summary><c>running</c>, <c>blocked</c> or <c>closing</c>.</summary>
    public required string State { get; init; }

    /// <summary>When it was accepted.</summary>
    public required DateTimeOffset ConnectedAt { get; init; }

    /// <summary>Bytes that the client sent.</summary>
    public required long ReceivedBytes { get; init; }

    /// <summary>Bytes that the client was sent.</summary>
    public required long SentBytes { get; init; }

    /// <summary>Its channels, in the order of their numbers.</summary>
    public required IReadOnlyList<ChannelDescription> Channels { get; init; }

    /// <summary>Returns the name of a channel.</summary>
    public string NameOf(ChannelDescription channel) => $"{Name} ({channel.Number})";

    /// <summary>Returns the name of a connection.</summary>
    /// <param name="remote">The client's address.</param>
    /// <param name="local">The address that the client dialled.</param>
    public static string NameOf(IPEndPoint remote, IPEndPoint local) => $"{remote} -> {local}";
}

/// <summary>A channel at one moment.</summary>
internal sealed record ChannelDescription
{
    /// <summary>Its number.</summary>
    public ushort Number { get; init; }

    /// <summary>Whether it confirms publishes.</summary>
    public bool IsConfirming { get; init; }

    /// <summary>Whether it is in transactions.</summary>
    public bool IsTransactional { get; init; }

    /// <summary>The limit of consumers that start next; 0 for none.</summary>
    public int Prefetch { get; init; }

    /// <summary>The limit that all its consumers share; 0 for none.</summary>
    public int SharedPrefetch { get; init; }

    /// <summary>Deliveries that are not acknowledged.</summary>
    public int Unacknowledged { get; init; }

    /// <summary>Publishes that are not confirmed.</summary>
    public int Unconfirmed { get; init; }

    /// <summary>Publishes that are not committed.</summary>
    public int UncommittedPublishes { get; init; }

    /// <summary>Acknowledgements that are not committed.</summary>
    public int UncommittedAcknowledgements { get; init; }

    /// <summary>Its consumers, in the order of their tags.</summary>
    public IReadOnlyList<ConsumerDescription> Consumers { get; init; } = [];
}

/// <summary>A consumer at one moment.</summary>
/// <param name="Tag">Its tag.</param>
/// <param name="Queue">Its queue.</param>
/// <param name="IsNoAck">Whether deliveries count as acknowledged.</param>
/// <param name="IsExclusive">Whether it is the queue's only one.</param>
/// <param name="Prefetch">Its own limit; 0 for none.</param>
/// <param name="Arguments">Its arguments.</param>
internal sealed record ConsumerDescription(string Tag, string Queue, bool IsNoAck, bool IsExclusive, int Prefetch, FieldTable Arguments);
