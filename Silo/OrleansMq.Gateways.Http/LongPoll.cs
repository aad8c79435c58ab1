using OrleansMq.Api;

namespace OrleansMq.Gateways.Http;

/// <summary>A request that may wait. It ends when the client disconnects, and answers with what is available when the broker
/// drains.</summary>
internal static class LongPoll
{
    /// <summary>Reads records; see <see cref="IBroker.FetchAsync"/>.</summary>
    public static async ValueTask<FetchResult> FetchAsync(HttpContext http, ApiServices api, FetchRequest request)
    {
        var broker = api.BrokerOf(http);
        if (request.MaxWait == TimeSpan.Zero || api.Gate.Draining.IsCancellationRequested)
            return await broker.FetchAsync(request with { MaxWait = TimeSpan.Zero }, http.RequestAborted);

        using var ended = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, api.Gate.Draining);
        try
        {
            return await broker.FetchAsync(request, ended.Token);
        }
        catch (OperationCanceledException) when (!http.RequestAborted.IsCancellationRequested)
        {
            return await broker.FetchAsync(request with { MaxWait = TimeSpan.Zero }, http.RequestAborted);
        }
    }

    /// <summary>Runs a request that may take long, without the memory of the body's objects; null if the broker drains first.</summary>
    public static async ValueTask<T?> AskAsync<T>(HttpContext http, ApiServices api, Func<CancellationToken, ValueTask<T>> ask)
        where T : class?
    {
        JsonBodies.Release(http);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, api.Gate.Draining);
        try
        {
            return await ask(ended.Token);
        }
        catch (OperationCanceledException) when (!http.RequestAborted.IsCancellationRequested && api.Gate.Draining.IsCancellationRequested)
        {
            return null;
        }
    }
}
