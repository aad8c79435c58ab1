using System.Net;
using OrleansMq.Diagnostics;
using OrleansMq.Security;

namespace OrleansMq.Connections;

/// <summary>Bounds the TLS handshakes of a port that are in progress: each costs memory and processor time before the caller has proved
/// anything. A quarter of them may be of one address; the loopback address may have all. Thread safe.</summary>
/// <param name="port">The port's name in log lines.</param>
/// <param name="max">The most handshakes.</param>
/// <param name="log">The log.</param>
/// <param name="clock">The clock.</param>
internal sealed class HandshakePlaces(string port, int max, EngineLog log, TimeProvider clock)
{
    private readonly RareLine _full = new(log, clock);
    private readonly AddressPlaces _places = new(max);

    /// <summary>Counts a handshake that begins.</summary>
    /// <param name="address">The caller's address.</param>
    /// <returns>False: as many are in progress as may be.</returns>
    public bool TryEnter(IPAddress address)
    {
        var text = address.ToString();
        var most = _places.MostOf(text);
        if (_places.TryEnter(text, most))
            return true;
        _full.Write(EngineLogLevel.Warning, $"A connection to the {port} port from {text} was closed: too many have not completed their "
            + $"TLS handshake yet. Allowed are {max}, and {most} from that address.");
        return false;
    }

    /// <summary>Counts a handshake no more.</summary>
    public void Leave(IPAddress address) => _places.Leave(address.ToString());
}
