namespace OrleansMq.Client;

/// <summary>The addresses of a cluster's brokers, and which of them is used now. Any broker serves any request.</summary>
internal sealed class BrokerAddresses
{
    private readonly Uri[] _all;
    private int _current;

    /// <exception cref="ArgumentException">There is none, or one is not an absolute http or https URL.</exception>
    public BrokerAddresses(IEnumerable<Uri> addresses)
    {
        ArgumentNullException.ThrowIfNull(addresses);
        _all = [.. addresses.Select(Checked)];
        if (_all.Length == 0)
            throw new ArgumentException("No address of a broker was given. Give one at least, such as http://127.0.0.1:8080.",
                nameof(addresses));
    }

    /// <summary>All addresses, in the given order.</summary>
    public IReadOnlyList<Uri> All => _all;

    /// <summary>The address used now.</summary>
    public Uri Current => _all[Volatile.Read(ref _current)];

    /// <summary>Switches to the next address, unless another caller has switched already.</summary>
    /// <param name="from">The address that did not answer.</param>
    public void MoveOn(Uri from)
    {
        var index = Volatile.Read(ref _current);
        if (_all[index] == from)
            Interlocked.CompareExchange(ref _current, (index + 1) % _all.Length, index);
    }

    /// <summary>Formats the addresses for a message.</summary>
    public override string ToString() => string.Join(", ", _all.Select(address => address.AbsoluteUri));

    private static Uri Checked(Uri address)
    {
        ArgumentNullException.ThrowIfNull(address);
        if (!address.IsAbsoluteUri || (address.Scheme != Uri.UriSchemeHttp && address.Scheme != Uri.UriSchemeHttps))
            throw new ArgumentException($"The broker's address '{address}' is not an http URL. Write it like http://127.0.0.1:8080.",
                nameof(address));
        // Without a trailing slash, the last segment of the base address would be dropped when a path is appended.
        return address.AbsoluteUri.EndsWith('/') ? address : new Uri(address.AbsoluteUri + "/");
    }
}
