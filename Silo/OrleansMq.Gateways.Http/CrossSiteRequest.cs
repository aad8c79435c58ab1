namespace OrleansMq.Gateways.Http;

/// <summary>
/// Refuses requests that a browser sends from another site. A broker without authentication trusts every client that can connect; on
/// 127.0.0.1 that is every user of the machine. A page from elsewhere in such a user's browser can connect as well.
/// </summary>
internal static class CrossSiteRequest
{
    /// <summary>Returns why the request is refused, or null.</summary>
    public static string? Refusal(HttpRequest request)
    {
        var origin = request.Headers.Origin.ToString();
        if (origin.Length == 0)
            return null;
        var own = $"{request.Scheme}://{request.Host.Value}";
        return string.Equals(origin, own, StringComparison.OrdinalIgnoreCase)
            ? null
            : $"A browser sent this from '{origin}', which is not this broker ('{own}'). Call the API from a program, or through a proxy "
            + "on the same origin.";
    }
}
