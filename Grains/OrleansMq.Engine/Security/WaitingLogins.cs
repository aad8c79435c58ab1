using System.Net;

namespace OrleansMq.Security;

/// <summary>Counts the logins whose passwords are being verified, or wait for it: one address does not take the places of all others.
/// Behind the loopback address are all clients of a machine: it may have all places. Thread safe.</summary>
/// <param name="max">The most of them. A quarter of them may come from one address.</param>
internal sealed class WaitingLogins(int max)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, int> _byHost = new(StringComparer.Ordinal);
    private int _count;

    /// <summary>Counts a login.</summary>
    /// <param name="host">The client's address; empty where it is not known.</param>
    /// <returns>False: there are as many as there may be.</returns>
    public bool TryEnter(string host)
    {
        var most = IPAddress.TryParse(host, out var address) && IPAddress.IsLoopback(address) ? max : Math.Max(max / 4, 1);
        lock (_lock)
        {
            var mine = _byHost.GetValueOrDefault(host);
            if (_count >= max || mine >= most)
                return false;
            (_count, _byHost[host]) = (_count + 1, mine + 1);
            return true;
        }
    }

    /// <summary>Counts a login no more.</summary>
    public void Leave(string host)
    {
        lock (_lock)
        {
            _count--;
            if (--_byHost[host] == 0)
                _byHost.Remove(host);
        }
    }
}
