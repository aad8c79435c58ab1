using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;

namespace OrleansMq.Silo.Configuration;

/// <summary>The address of a listener: <c>[HOST:]PORT</c>.</summary>
/// <param name="Address">The interface's address; 127.0.0.1 by default.</param>
/// <param name="Port">0 to 65,535; 0 takes any free port.</param>
internal sealed record ListenAddress(IPAddress Address, int Port)
{
    /// <summary>The form that <see cref="TryParse(string, out ListenAddress?)"/> accepts, for error messages.</summary>
    public const string Expected =
        "[HOST:]PORT, where HOST is an IP address, localhost or * and PORT is 0 to 65535, such as 8080 or 0.0.0.0:8080";

    /// <summary>Whether clients connect with TLS.</summary>
    public bool IsSecure { get; init; }

    /// <summary>Whether only this machine can connect.</summary>
    public bool IsLoopback => IPAddress.IsLoopback(Address);

    /// <summary>Parses <c>8080</c>, <c>127.0.0.1:8080</c>, <c>[::1]:8080</c>, <c>localhost:8080</c> or <c>*:8080</c>.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out ListenAddress? address)
    {
        address = null;
        var colon = text.LastIndexOf(':');
        var host = colon < 0 ? "127.0.0.1" : text[..colon];
        if (!int.TryParse(text[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out var port) || port > IPEndPoint.MaxPort)
            return false;
        if (ParseHost(host) is not { } ip)
            return false;
        address = new ListenAddress(ip, port);
        return true;
    }

    /// <summary>Parses an address that may have a scheme in front, which decides whether clients connect with TLS.</summary>
    /// <param name="text">Such as <c>8080</c> or <c>https://*:8443</c>.</param>
    /// <param name="plain">The scheme without TLS, such as <c>http</c>: the default.</param>
    /// <param name="secure">The scheme with TLS, such as <c>https</c>.</param>
    /// <param name="address">The address.</param>
    public static bool TryParse(string text, string plain, string secure, [NotNullWhen(true)] out ListenAddress? address)
    {
        var isSecure = text.StartsWith($"{secure}://", StringComparison.OrdinalIgnoreCase);
        var scheme = isSecure ? secure : plain;
        if (text.StartsWith($"{scheme}://", StringComparison.OrdinalIgnoreCase))
            text = text[(scheme.Length + 3)..];
        if (!TryParse(text, out address))
            return false;
        address = address with { IsSecure = isSecure };
        return true;
    }

    /// <inheritdoc/>
    public override string ToString() => new IPEndPoint(Address, Port).ToString();

    private static IPAddress? ParseHost(string host)
    {
        if (host == "localhost")
            return IPAddress.Loopback;
        if (host == "*")
            return IPAddress.IPv6Any;
        var bracketed = host.StartsWith('[') && host.EndsWith(']');
        // Without brackets, "::1:8080" could be an address with a port or an address alone.
        return (bracketed || !host.Contains(':')) && IPAddress.TryParse(bracketed ? host[1..^1] : host, out var ip) ? ip : null;
    }
}

/// <summary>The port of a listener whose address has a default from other settings: <c>[HOST:]PORT</c>.</summary>
/// <param name="Address">The interface's address; null for the default.</param>
/// <param name="Port">0 to 65,535; 0 takes any free port.</param>
internal sealed record ListenPort(IPAddress? Address, int Port)
{
    /// <summary>Converts a port alone.</summary>
    public static implicit operator ListenPort(int port) => new(null, port);

    /// <summary>Parses the forms of <see cref="ListenAddress"/>.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out ListenPort? port)
    {
        port = ListenAddress.TryParse(text, out var address)
            ? new ListenPort(text.Contains(':', StringComparison.Ordinal) ? address.Address : null, address.Port)
            : null;
        return port is not null;
    }
}
