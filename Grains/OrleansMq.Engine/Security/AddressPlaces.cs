using System.Net;

namespace OrleansMq.Security;

/// <summary>Places that clients take: one address does not take those of all others. Behind the loopback address are all clients of a
/// machine. Thread safe.</summary>
/// <param name="max">How many there are.</param>
internal sealed class AddressPlaces(int max)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, int> _byAddress = new(StringComparer.Ordinal);
    private int _count;

    /// <summary>The places that are taken.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>A quarter of the places.</summary>
    public int MostOfOne => Math.Max(max / 4, 1);

    /// <summary>The most places of an address: all for the loopback address, <see cref="MostOfOne"/> for others.</summary>
    /// <param name="address">The client's address; empty where it is not known.</param>
    public int MostOf(string address) => IPAddress.TryParse(address, out var parsed) && IPAddress.IsLoopback(parsed) ? max : MostOfOne;

    /// <summary>Takes a place.</summary>
    /// <param name="address">The client's address; empty where it is not known.</param>
    /// <param name="most">The most places that it may have.</param>
    /// <returns>False: as many as there may be are taken.</returns>
    public bool TryEnter(string address, int most)
    {
        lock (_lock)
        {
            var mine = _byAddress.GetValueOrDefault(address);
            if (_count >= max || mine >= most)
                return false;
            _count++;
            _byAddress[address] = mine + 1;
            return true;
        }
    }

    /// <summary>Gives a place back.</summary>
    public void Leave(string address)
    {
        lock (_lock)
        {
            _count--;
            if (--_byAddress[address] == 0)
                _byAddress.Remove(address);
        }
    }
}
