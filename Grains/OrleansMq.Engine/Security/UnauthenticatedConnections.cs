using System.Net;
using OrleansMq.Diagnostics;

namespace OrleansMq.Security;

/// <summary>Counts the connections of a port that have not authenticated, or not completed their TLS handshake: they take the place of
/// others before they have proved anything, so they are few. Thread safe.</summary>
/// <param name="protocol">The protocol's or port's name in log lines.</param>
/// <param name="max">The most of them. A quarter of them may come from one address.</param>
/// <param name="log">The log.</param>
/// <param name="timeProvider">The clock.</param>
/// <param name="undone">What they have not done yet, in log lines.</param>
internal sealed class UnauthenticatedConnections(string protocol, int max, EngineLog log, TimeProvider timeProvider,
    string undone = "authenticated")
{
    private readonly RareLine _full = new(log, timeProvider);
    private readonly RareLine _failed = new(log, timeProvider);
    private readonly AddressPlaces _places = new(max);

    /// <summary>The connections.</summary>
    public int Count => _places.Count;

    /// <summary>Counts a connection. The loopback address may have all places: behind it are all clients of one machine.</summary>
    /// <param name="address">The client's address.</param>
    /// <returns>What counts it no more when it is disposed; null: there are as many as there may be.</returns>
    public IDisposable? Enter(IPAddress address) =>
        address.ToString() is var text && TryEnter(text, _places.MostOf(text)) ? new Place(this, text) : null;

    /// <summary>Counts a connection.</summary>
    /// <param name="address">The client's address.</param>
    /// <returns>False: there are as many as there may be.</returns>
    public bool TryEnter(string address) => TryEnter(address, _places.MostOfOne);

    /// <summary>Counts a connection no more.</summary>
    public void Leave(string address) => _places.Leave(address);

    /// <summary>Notes a failed authentication.</summary>
    /// <param name="client">The client's address.</param>
    /// <param name="why">What is wrong. It names no password.</param>
    public void Failed(string client, string why) =>
        _failed.Write(EngineLogLevel.Warning, $"A {protocol} client at {client} did not authenticate: {why}");

    private bool TryEnter(string address, int most)
    {
        if (_places.TryEnter(address, most))
            return true;
        _full.Write(EngineLogLevel.Warning, $"A {protocol} connection from {address} was closed: too many have not {undone} yet. "
            + $"Allowed are {max}, and {most} from that address.");
        return false;
    }

    private sealed class Place(UnauthenticatedConnections connections, string address) : IDisposable
    {
        private int _isLeft;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _isLeft, 1) == 0)
                connections.Leave(address);
        }
    }
}
