namespace OrleansMq.Silo.Http;

/// <summary>
/// A broker without authentication trusts whoever can connect, which on 127.0.0.1 is who sits at the machine. A page from elsewhere in
/// that person's browser can connect too, so a request that says it comes from another site is refused.
/// </summary>
internal static class CrossSiteRequest
{
    /// <summary>Why the request is refused, or null.</summary>
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
