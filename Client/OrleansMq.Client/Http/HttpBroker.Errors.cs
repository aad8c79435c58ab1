using System.Net;
using System.Net.Sockets;
using System.Text.Json;

namespace OrleansMq.Client;

/// <content>Mapping of errors: the broker's own by their problem details, everything else as "no broker answered".</content>
public sealed partial class HttpBroker
{
    // .NET's handler asks a new connection for its endpoint. If the broker dies at that moment, the socket's exception is not wrapped.
    private static bool IsUnreachable(Exception e) =>
        e is HttpRequestException or IOException or SocketException or OperationCanceledException;

    /// <summary>Returns the code for "certainly not executed" if no connection was established; otherwise the request may have
    /// arrived.</summary>
    private static ErrorCode CodeOfUnreachable(Exception e) =>
        e is HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError
            or HttpRequestError.SecureConnectionError }
            ? ErrorCode.LeaderNotAvailable
            : ErrorCode.RequestTimedOut;

    /// <summary>Returns the code of a coordinator's request that failed: a broker that is unreachable or not serving yet, and an outcome
    /// that is unknown, are an unavailable coordinator. The request may be sent again.</summary>
    internal static ErrorCode CoordinatorErrorOf(BrokerException failure) =>
        failure is BrokerUnreachableException || failure.Code is ErrorCode.LeaderNotAvailable or ErrorCode.RequestTimedOut
            ? ErrorCode.CoordinatorNotAvailable : failure.Code;

    private string UnreachableMessage(Uri address, Exception e)
    {
        var message = e is OperationCanceledException
            ? $"The broker at {address} did not answer within {_options.RequestTimeout.TotalSeconds:0.###} s."
            : $"The broker at {address} cannot be reached: {ReasonOf(e)} Is it running, and is the address right?";
        return _addresses.All.Count == 1 ? message : $"{message} (All addresses: {_addresses}.)";
    }

    // .NET's message may only say that the inner exception has one.
    private static string ReasonOf(Exception e)
    {
        while (e.InnerException is { } inner && e.Message.Contains("inner exception", StringComparison.Ordinal))
            e = inner;
        return e.Message.EndsWith('.') ? e.Message : e.Message + ".";
    }

    private static BrokerException NotABroker(string address, Exception e) =>
        new(ErrorCode.UnknownServerError,
            $"{address} did not answer like an OrleansMq broker ({e.Message}). Check the address.", e);

    private static async ValueTask<BrokerException> ErrorOfAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        var (code, message, fromBroker) = await ReadErrorAsync(response, cancellationToken).ConfigureAwait(false);
        return fromBroker ? new BrokerException(code, message) : new BrokerUnreachableException(code, message);
    }

    /// <summary>
    /// Reads the error of a response. A problem with a code comes from the broker. A bare 502, 503 or 504 comes from a proxy, so it is
    /// unknown what the broker did.
    /// </summary>
    private static async ValueTask<(ErrorCode Code, string Message, bool FromBroker)> ReadErrorAsync(HttpResponseMessage response,
        CancellationToken cancellationToken)
    {
        var problem = await ReadProblemAsync(response, cancellationToken).ConfigureAwait(false);
        if (problem is { ErrorCode: { } number } && Enum.IsDefined((ErrorCode)number))
            return ((ErrorCode)number, problem.Detail ?? problem.Title ?? problem.Code ?? "", true);
        if (problem is { Code: { } name } && Enum.TryParse<ErrorCode>(name, out var named))
            return (named, problem.Detail ?? problem.Title ?? name, true);

        var message = $"{response.RequestMessage?.RequestUri} answered {(int)response.StatusCode} {response.ReasonPhrase}"
            + (problem?.Detail is { } detail ? $": {detail}" : ".");
        return response.StatusCode is HttpStatusCode.BadGateway or HttpStatusCode.ServiceUnavailable or HttpStatusCode.GatewayTimeout
            ? (ErrorCode.RequestTimedOut, message, false)
            : (ErrorCode.UnknownServerError, message, true);
    }

    private static async ValueTask<HttpProblem?> ReadProblemAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        if (response.Content.Headers.ContentType?.MediaType is not (HttpContract.ProblemMediaType or "application/json"))
            return null;
        try
        {
            await using var body = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
            return await JsonSerializer.DeserializeAsync(body, HttpJson.Default.HttpProblem, cancellationToken).ConfigureAwait(false);
        }
        catch (JsonException)
        {
            // Not a problem body: only the status is known.
            return null;
        }
    }
}
