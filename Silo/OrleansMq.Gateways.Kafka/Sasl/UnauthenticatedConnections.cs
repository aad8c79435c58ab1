using OrleansMq.Diagnostics;

namespace OrleansMq.Gateways.Kafka.Sasl;

/// <summary>Counts the connections that have not authenticated: they take the place of others, so they are few. Thread safe.</summary>
/// <param name="options">The limit.</param>
internal sealed class UnauthenticatedConnections(KafkaGatewayOptions options)
{
    private readonly RareLine _full = new(options.Log, options.TimeProvider);
    private readonly RareLine _failed = new(options.Log, options.TimeProvider);
    private int _count;

    /// <summary>The connections.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>Counts a connection.</summary>
    /// <returns>False: there are as many as there may be.</returns>
    public bool TryEnter()
    {
        if (Interlocked.Increment(ref _count) <= options.MaxUnauthenticated)
            return true;
        Leave();
        _full.Write(EngineLogLevel.Warning, $"A Kafka connection was closed: {options.MaxUnauthenticated} have not authenticated yet, the "
            + "most there may be.");
        return false;
    }

    /// <summary>Counts a connection no more.</summary>
    public void Leave() => Interlocked.Decrement(ref _count);

    /// <summary>Notes a failed authentication.</summary>
    /// <param name="client">The client's address.</param>
    /// <param name="why">What is wrong. It names no password.</param>
    public void Failed(string client, string why) =>
        _failed.Write(EngineLogLevel.Warning, $"A Kafka client at {client} did not authenticate: {why}");
}
