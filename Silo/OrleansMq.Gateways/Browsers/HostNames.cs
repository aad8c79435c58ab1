using System.Net;
using OrleansMq.Hosting;

namespace OrleansMq.Gateways.Browsers;

/// <summary>
/// The names by which requests may address an API over HTTP. A web page can have its own name resolve to the broker's address (DNS
/// rebinding); the browser then treats the broker as the page's own site. Such a request names the page's host. An IP address cannot be
/// rebound.
/// </summary>
internal sealed class HostNames
{
    private readonly HashSet<string> _names = new(StringComparer.OrdinalIgnoreCase) { "localhost" };
    private readonly List<string> _suffixes = [".localhost"];
    private readonly Func<IEnumerable<string>> _advertised;
    private readonly bool _includesAll;

    /// <param name="allowed">More names: a host, <c>*.example.com</c> for the hosts below a domain, or <c>*</c> for all.</param>
    /// <param name="advertised">The names by which the broker advertises itself now.</param>
    public HostNames(IEnumerable<string> allowed, Func<IEnumerable<string>>? advertised = null)
    {
        _advertised = advertised ?? (static () => []);
        foreach (var name in allowed)
        {
            if (name == "*")
                _includesAll = true;
            else if (name.StartsWith("*.", StringComparison.Ordinal))
                _suffixes.Add(name[1..]);
            else
                _names.Add(name);
        }
    }

    /// <summary>Creates the names of a broker: this machine's, those that the operator adds, and where the broker told its cluster that
    /// clients reach it.</summary>
    /// <param name="allowed">The operator's names.</param>
    /// <param name="broker">Returns the broker, or null before it serves.</param>
    public static HostNames Of(IEnumerable<string> allowed, Func<HostedBroker?> broker) =>
        new([Dns.GetHostName(), .. allowed], () => AdvertisedBy(broker()));

    /// <summary>Whether a request may name this host.</summary>
    /// <param name="host">The host of a URL without its port. Empty where an HTTP/1.0 client sends none, which no browser does.</param>
    public bool Include(string host)
    {
        if (_includesAll || host.Length == 0 || IPAddress.TryParse(host, out _))
            return true;
        var name = host.EndsWith('.') ? host[..^1] : host;
        return _names.Contains(name)
            || _suffixes.Exists(suffix => name.Length > suffix.Length && name.EndsWith(suffix, StringComparison.OrdinalIgnoreCase))
            || _advertised().Contains(name, StringComparer.OrdinalIgnoreCase);
    }

    /// <summary>The host of an advertised address: a URL, a host with its port, or a host.</summary>
    public static string HostOf(string address) =>
        Uri.TryCreate(address.Contains("://", StringComparison.Ordinal) ? address : $"http://{address}", UriKind.Absolute, out var url)
            ? url.Host : address;

    private static IEnumerable<string> AdvertisedBy(HostedBroker? broker) =>
        broker is not null && broker.Metadata.Image.Brokers.TryGetValue(broker.BrokerId, out var self)
            ? new[] { self.Registration.Http, self.Registration.Kafka, self.Registration.Host }.OfType<string>().Select(HostOf)
            : [];
}
