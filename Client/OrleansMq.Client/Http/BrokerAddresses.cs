namespace OrleansMq.Client.Http;

/// <summary>Where a cluster's brokers are, any of which takes any request, and which of them is asked at the moment.</summary>
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

    /// <summary>All of them, in the order they were given.</summary>
    public IReadOnlyList<Uri> All => _all;

    /// <summary>Whom to ask.</summary>
    public Uri Current => _all[Volatile.Read(ref _current)];

    /// <summary>Asks the next one from now on, unless somebody has moved on already.</summary>
    /// <param name="from">Who could not be asked.</param>
    public void MoveOn(Uri from)
    {
        var index = Volatile.Read(ref _current);
        if (_all[index] == from)
            Interlocked.CompareExchange(ref _current, (index + 1) % _all.Length, index);
    }

    /// <summary>The addresses as a message shows them.</summary>
    public override string ToString() => string.Join(", ", _all.Select(address => address.AbsoluteUri));

    private static Uri Checked(Uri address)
    {
        ArgumentNullException.ThrowIfNull(address);
        if (!address.IsAbsoluteUri || (address.Scheme != Uri.UriSchemeHttp && address.Scheme != Uri.UriSchemeHttps))
            throw new ArgumentException($"The broker's address '{address}' is not an http URL. Write it like http://127.0.0.1:8080.",
                nameof(address));
        // A base address without a slash at its end would lose its last segment when a path is put behind it.
        return address.AbsoluteUri.EndsWith('/') ? address : new Uri(address.AbsoluteUri + "/");
    }
}
