using OrleansMq.Diagnostics;

namespace OrleansMq.Gateways.Kafka.Sasl;

/// <summary>Counts the connections that have not authenticated: they take the place of others, so they are few. Thread safe.</summary>
/// <param name="options">The limit.</param>
internal sealed class UnauthenticatedConnections(KafkaGatewayOptions options)
{
    private readonly RareLine _full = new(options.Log, options.TimeProvider);
    private readonly RareLine _failed = new(options.Log, options.TimeProvider);
    private readonly Lock _lock = new();
    private readonly Dictionary<string, int> _byAddress = new(StringComparer.Ordinal);
    private int _count;

    // One address alone does not take the places of all others.
    private int MaxPerAddress => Math.Max(options.MaxUnauthenticated / 4, 1);

    /// <summary>The connections.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>Counts a connection.</summary>
    /// <param name="address">The client's address.</param>
    /// <returns>False: there are as many as there may be.</returns>
    public bool TryEnter(string address)
    {
        lock (_lock)
        {
            var mine = _byAddress.GetValueOrDefault(address);
            if (_count < options.MaxUnauthenticated && mine < MaxPerAddress)
            {
                _count++;
                _byAddress[address] = mine + 1;
                return true;
            }
        }
        _full.Write(EngineLogLevel.Warning, $"A Kafka connection from {address} was closed: too many have not authenticated yet. Allowed "
            + $"are {options.MaxUnauthenticated}, and {MaxPerAddress} from one address.");
        return false;
    }

    /// <summary>Counts a connection no more.</summary>
    public void Leave(string address)
    {
        lock (_lock)
        {
            _count--;
            var left = _byAddress[address] - 1;
            if (left == 0)
                _byAddress.Remove(address);
            else
                _byAddress[address] = left;
        }
    }

    /// <summary>Notes a failed authentication.</summary>
    /// <param name="client">The client's address.</param>
    /// <param name="why">What is wrong. It names no password.</param>
    public void Failed(string client, string why) =>
        _failed.Write(EngineLogLevel.Warning, $"A Kafka client at {client} did not authenticate: {why}");
}
