namespace OrleansMq.Access;

/// <summary>How a session reaches the broker.</summary>
public enum SessionProtocol
{
    /// <summary>Not known.</summary>
    Unknown = 0,
    /// <summary>Code in the broker's own process.</summary>
    InProcess = 1,
    /// <summary>The HTTP API.</summary>
    Http = 2,
    /// <summary>The Kafka protocol.</summary>
    Kafka = 3,
    /// <summary>Calls to the public grains.</summary>
    Orleans = 4,
    /// <summary>AMQP 0-9-1, where it reads and writes topics. Its queues and exchanges have RabbitMQ's permissions alone.</summary>
    Amqp = 5,
}

/// <summary>The caller of a request, as authorization sees it. Each door makes one for a connection or a request.</summary>
/// <param name="Principal">Type and name, such as <c>User:alice</c>; <see cref="Anonymous"/> without authentication.</param>
/// <param name="ClientId">The name that the client gives itself; empty where it gives none.</param>
/// <param name="Listener">The address or name of the listener that accepted the connection; empty without one.</param>
/// <param name="Host">The address that the client calls from; empty in process.</param>
/// <param name="Protocol">How the session reaches the broker.</param>
public sealed record BrokerSession(string Principal, string ClientId, string Listener, string Host, SessionProtocol Protocol)
{
    /// <summary>The principal of a session without authentication.</summary>
    public const string Anonymous = "User:ANONYMOUS";

    /// <summary>Code in the broker's own process.</summary>
    public static BrokerSession InProcess { get; } = new(Anonymous, "", "", "", SessionProtocol.InProcess);

    /// <summary>A client of the public grains that has not logged in. Grain calls carry neither a client id nor an address.</summary>
    public static BrokerSession Orleans { get; } = new(Anonymous, "", "", "", SessionProtocol.Orleans);
}
