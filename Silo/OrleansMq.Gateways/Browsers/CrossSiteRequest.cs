namespace OrleansMq.Gateways.Browsers;

/// <summary>
/// Refuses requests that a browser sends on behalf of another site. A broker on 127.0.0.1 trusts every user of the machine, be it without
/// authentication or with a password that everyone knows. A page from elsewhere in such a user's browser can connect as well.
/// </summary>
internal static class CrossSiteRequest
{
    private const int Forbidden = 403;
    private const int MisdirectedRequest = 421;

    /// <summary>Returns the status and the reason of a refusal, or null.</summary>
    /// <param name="request">The request.</param>
    /// <param name="own">The names of this broker.</param>
    public static (int Status, string Reason)? Refusal(in BrowserHeaders request, HostNames own) =>
        own.Include(request.Host) ? RefusalOfOrigin(request)
            : (MisdirectedRequest,
                $"The Host header names '{request.Host}', which is not known as a name of this broker. Use localhost, an IP address, "
                + "the machine's name or the advertised host, or add the name to --http-hosts (the gateway's option Hosts in a silo of "
                + "your own).");

    /// <summary>The same for what may be asked under any name, as probes do.</summary>
    /// <param name="request">The request.</param>
    public static (int Status, string Reason)? RefusalOfOrigin(in BrowserHeaders request)
    {
        // A page of another site makes its browser load an image or a frame without an origin. A user may follow a link.
        if (request.Origin.Length == 0)
            return request is { Site: "cross-site" or "same-site", Destination: not "document" }
                ? (Forbidden, "A browser sent this for a page of another site. Call the API from a program, or through a proxy on the same "
                    + "origin.")
                : null;
        var self = $"{request.Scheme}://{request.Authority}";
        return string.Equals(request.Origin, self, StringComparison.OrdinalIgnoreCase)
            ? null
            : (Forbidden,
                $"A browser sent this from '{request.Origin}', which is not this broker ('{self}'). Call the API from a program, or "
                + "through a proxy on the same origin.");
    }
}

/// <summary>What a browser says of a request and no page can change.</summary>
/// <param name="Scheme"><c>http</c> or <c>https</c>.</param>
/// <param name="Authority">The header <c>Host</c>: a host, and a port where it is not the scheme's. Empty without it.</param>
/// <param name="Host">The host in it.</param>
/// <param name="Origin">The header <c>Origin</c>: the site of the page. Empty where a program sends the request.</param>
/// <param name="Site">The header <c>Sec-Fetch-Site</c>: how the page's site and this one are related. Empty where a program sends the
/// request.</param>
/// <param name="Destination">The header <c>Sec-Fetch-Dest</c>: what the answer is for.</param>
internal readonly record struct BrowserHeaders(string Scheme, string Authority, string Host, string Origin, string Site = "",
    string Destination = "");
