using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace OrleansMq.Client;

/// <content>Administrative requests, sent to one broker after the other until one answers.</content>
public sealed partial class HttpBroker
{
    // The pause between two rounds over all addresses: short, since a failover completes within a second.
    private static readonly TimeSpan RoundPause = TimeSpan.FromMilliseconds(100);

    /// <summary>Sends a request and reads its response.</summary>
    internal async ValueTask<T> AskAsync<T>(HttpMethod method, string path, Func<HttpContent>? body, JsonTypeInfo<T> type,
        CancellationToken cancellationToken)
    {
        using var response = await SendAsync(method, path, body, cancellationToken).ConfigureAwait(false);
        return await ReadAsync(response, path, type, cancellationToken).ConfigureAwait(false)
            ?? throw new BrokerException(ErrorCode.UnknownServerError, $"{response.RequestMessage?.RequestUri} answered with null.");
    }

    /// <summary>Sends a request whose response may be empty (204).</summary>
    internal async ValueTask<T?> LookForAsync<T>(HttpMethod method, string path, JsonTypeInfo<T> type, CancellationToken cancellationToken)
    {
        using var response = await SendAsync(method, path, null, cancellationToken).ConfigureAwait(false);
        return response.StatusCode == HttpStatusCode.NoContent
            ? default : await ReadAsync(response, path, type, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Sends a request whose response has no body.</summary>
    internal async ValueTask TellAsync(HttpMethod method, string path, Func<HttpContent>? body, CancellationToken cancellationToken) =>
        (await SendAsync(method, path, body, cancellationToken).ConfigureAwait(false)).Dispose();

    /// <summary>Sends a protocol request, whose caller does its own retries. Tries each broker once, as long as the request was certainly
    /// not executed.</summary>
    /// <param name="path">The path.</param>
    /// <param name="body">Creates the body, once per attempt.</param>
    /// <param name="type">The type of the response.</param>
    /// <param name="maxWait">How long the broker may wait before it responds, in addition to the time limit of every request.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    internal async ValueTask<T> OfferAsync<T>(string path, Func<HttpContent> body, JsonTypeInfo<T> type, TimeSpan maxWait,
        CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            var address = _addresses.Current;
            try
            {
                using var response = await SendOnceAsync(address, HttpMethod.Post, path, body(), maxWait,
                    cancellationToken).ConfigureAwait(false);
                return await ReadAsync(response, path, type, cancellationToken).ConfigureAwait(false)
                    ?? throw new BrokerException(ErrorCode.UnknownServerError,
                        $"{response.RequestMessage?.RequestUri} answered with null.");
            }
            catch (BrokerException e)
            {
                MoveOnAfter(address, e.Code, e is BrokerUnreachableException);
                if (e.Code != ErrorCode.LeaderNotAvailable || attempt >= _addresses.All.Count)
                    throw;
            }
        }
    }

    /// <summary>Sends a request to one broker after the other. Returns the first response that is not an error, read completely within the
    /// time limit.</summary>
    private async ValueTask<HttpResponseMessage> SendAsync(HttpMethod method, string path, Func<HttpContent>? body,
        CancellationToken cancellationToken)
    {
        var started = _options.TimeProvider.GetTimestamp();
        for (var attempt = 1; ; attempt++)
        {
            var address = _addresses.Current;
            try
            {
                return await SendOnceAsync(address, method, path, body?.Invoke(), TimeSpan.Zero, cancellationToken).ConfigureAwait(false);
            }
            catch (BrokerException e)
            {
                MoveOnAfter(address, e.Code, e is BrokerUnreachableException);
                if (!IsHarmlessAgain(method, e)
                    || (attempt >= _addresses.All.Count && _options.TimeProvider.GetElapsedTime(started) >= _options.RetryTimeout))
                    throw;
            }
            if (attempt % _addresses.All.Count == 0)
                await Task.Delay(RoundPause, _options.TimeProvider, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Whether a request may be sent again: it was certainly not executed, or it changes nothing.</summary>
    private static bool IsHarmlessAgain(HttpMethod method, BrokerException e) =>
        e.Code == ErrorCode.LeaderNotAvailable || (method == HttpMethod.Get && e.Action == ErrorAction.Retry);

    /// <summary>Switches to the next address after a broker that does not answer, or is starting or stopping.</summary>
    private void MoveOnAfter(Uri address, ErrorCode code, bool isUnreachable)
    {
        if (isUnreachable || code == ErrorCode.LeaderNotAvailable)
            _addresses.MoveOn(address);
    }

    private async ValueTask<HttpResponseMessage> SendOnceAsync(Uri address, HttpMethod method, string path, HttpContent? body,
        TimeSpan maxWait, CancellationToken cancellationToken)
    {
        using var request = NewRequest(address, method, path, body);
        using var deadline = new CancellationTokenSource(TimeLimit(maxWait), _options.TimeProvider);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        HttpResponseMessage response;
        try
        {
            response = await _http.SendAsync(request, HttpCompletionOption.ResponseContentRead, either.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (IsUnreachable(e) && !cancellationToken.IsCancellationRequested)
        {
            throw new BrokerUnreachableException(CodeOfUnreachable(e), UnreachableMessage(address, e), e);
        }
        if (response.IsSuccessStatusCode)
            return response;
        using (response)
            throw await ErrorOfAsync(response, cancellationToken).ConfigureAwait(false);
    }

    private static async ValueTask<T?> ReadAsync<T>(HttpResponseMessage response, string path, JsonTypeInfo<T> type,
        CancellationToken cancellationToken)
    {
        try
        {
            return await response.Content.ReadFromJsonAsync(type, cancellationToken).ConfigureAwait(false);
        }
        catch (JsonException e)
        {
            throw NotABroker(response.RequestMessage?.RequestUri?.AbsoluteUri ?? path, e);
        }
    }

    /// <summary>Returns the request timeout plus the allowed wait, at most one day, since timers have a maximum.</summary>
    private TimeSpan TimeLimit(TimeSpan maxWait) =>
        maxWait < TimeSpan.FromDays(1) ? _options.RequestTimeout + maxWait : TimeSpan.FromDays(1);

    private HttpRequestMessage NewRequest(Uri address, HttpMethod method, string path, HttpContent? body)
    {
        var request = new HttpRequestMessage(method, new Uri(address, path))
        {
            Version = HttpVersion.Version11,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = body,
        };
        if (_options.ClientName is { Length: > 0 } name)
            request.Headers.TryAddWithoutValidation("User-Agent", name);
        if (_authorization is not null)
            request.Headers.Authorization = _authorization;
        else if (_options.Token is { } token)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token());
        return request;
    }
}
