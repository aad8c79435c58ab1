namespace OrleansMq.Gateways.Http;

/// <summary>
/// Refuses requests that a browser sends on behalf of another site. A broker without authentication trusts every client that can connect;
/// on 127.0.0.1 that is every user of the machine. A page from elsewhere in such a user's browser can connect as well.
/// </summary>
internal static class CrossSiteRequest
{
    /// <summary>Returns the status and the reason of a refusal, or null.</summary>
    /// <param name="request">The request.</param>
    /// <param name="own">The names of this broker.</param>
    public static (int Status, string Reason)? Refusal(HttpRequest request, HostNames own)
    {
        if (!own.Include(request.Host.Host) && !HealthEndpoints.Serve(request.Path))
            return (StatusCodes.Status421MisdirectedRequest,
                $"The Host header names '{request.Host.Host}', which is not known as a name of this broker. Use localhost, an IP address, "
                + "the machine's name or the advertised host, or add the name to --http-hosts (HttpGatewayOptions.Hosts in a silo of your "
                + "own).");
        var origin = request.Headers.Origin.ToString();
        if (origin.Length == 0)
            return null;
        var self = $"{request.Scheme}://{request.Host.Value}";
        return string.Equals(origin, self, StringComparison.OrdinalIgnoreCase)
            ? null
            : (StatusCodes.Status403Forbidden,
                $"A browser sent this from '{origin}', which is not this broker ('{self}'). Call the API from a program, or through a "
                + "proxy on the same origin.");
    }
}
