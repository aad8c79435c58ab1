using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>The gateway that has a connection, and in memory the queues that it declared and that are not durable. The id of the connection
/// tells it.</summary>
/// <param name="Incarnation">The incarnation of the gateway's broker; empty for a broker that stands alone.</param>
/// <param name="Mark">The end of the ids of the gateway's connections: a broker may have several gateways.</param>
internal readonly record struct QueueHome(string Incarnation, string Mark)
{
    private const int MarkLength = 9;

    /// <summary>Returns a new gateway's home.</summary>
    public static QueueHome New(string incarnation) => new(incarnation, $"-{Guid.NewGuid():n}"[..MarkLength]);

    /// <summary>Returns the home of a connection.</summary>
    public static QueueHome Of(string connection) =>
        new(ConnectionId.IncarnationOf(connection), connection.Length > MarkLength ? connection[^MarkLength..] : "");

    /// <summary>Returns the id of a new connection.</summary>
    public string NewConnection() => ConnectionId.New(Incarnation) + Mark;
}

/// <summary>A queue in memory, as brokers name it to its home.</summary>
/// <param name="VirtualHost">Its virtual host.</param>
/// <param name="Queue">Its name.</param>
/// <param name="Id">Its id.</param>
internal sealed record HomeTarget(string VirtualHost, string Queue, long Id);

/// <summary>A message on its way to the home of a queue.</summary>
/// <param name="Target">The queue.</param>
/// <param name="Version">The version of the virtual host's image by which the sender routed.</param>
/// <param name="Message">The message.</param>
internal readonly record struct HomePublish(HomeTarget Target, long Version, AmqpMessage Message);
