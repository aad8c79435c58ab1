using OrleansMq.Access;
using OrleansMq.Api;

namespace OrleansMq.Gateways.Http.Transactions;

/// <summary>The client of a request, as the coordinator of a transaction sees it.</summary>
internal static class HttpCaller
{
    /// <summary>Returns the caller: its address, and the name that the client gives as its <c>User-Agent</c>. Its connection is left out,
    /// since the requests of one client come over several.</summary>
    public static TransactionCaller Of(HttpContext http)
    {
        var at = $"/{http.Connection.RemoteIpAddress}";
        return new(http.Request.Headers.UserAgent.ToString() is { Length: > 0 } name
            ? $"client '{ClientNames.Shown(name)}' at {at}" : $"client at {at}");
    }
}
