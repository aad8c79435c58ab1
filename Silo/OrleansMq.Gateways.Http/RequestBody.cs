using System.Buffers;
using Microsoft.AspNetCore.Http.Features;
using OrleansMq.Access;
using OrleansMq.Gateways.Connections;
using OrleansMq.Gateways.Http.Security;

namespace OrleansMq.Gateways.Http;

/// <summary>The whole body of an administrative request in pooled memory; dispose returns it.</summary>
internal readonly struct RequestBody : IDisposable
{
    /// <summary>A body of fewer bytes, 64 KiB, takes none of the memory that large ones share.</summary>
    public const int FreeBytes = 64 << 10;

    /// <summary>The most bytes of a JSON body: far more than any administrative request needs.</summary>
    public const int MaxJsonBytes = 1 << 20;

    /// <summary>
    /// The most bytes of a raw record batch, whatever its topic allows: Kafka's limit for a request. So a false length cannot take all
    /// memory.
    /// </summary>
    public const int MaxBatchBytes = 100 << 20;

    private readonly byte[]? _array;
    private readonly RequestBodies? _bodies;
    private readonly RequestFrame? _frame;

    private RequestBody(byte[] array, int length) => (_array, Memory) = (array, array.AsMemory(0, length));

    private RequestBody(RequestBodies bodies, RequestFrame frame) => (_bodies, _frame, Memory) = (bodies, frame, frame.Arrived);

    /// <summary>The body's bytes.</summary>
    public Memory<byte> Memory { get; }

    /// <summary>Sets the limit of this request's body; null for none.</summary>
    public static void Limit(HttpContext http, long? bytes)
    {
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } feature)
            feature.MaxRequestBodySize = bytes;
    }

    /// <summary>Reads the whole body; the server rejects a body above its limit.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.SaslAuthenticationFailed"/>: it is large, and its client unknown.</exception>
    /// <exception cref="RequestException">It is large, and arrives too slowly.</exception>
    public static async ValueTask<RequestBody> ReadAsync(HttpContext http)
    {
        if (http.Request.ContentLength >= FreeBytes)
            DemandCredentials(http, ApiServices.Of(http));
        // It grows with what arrives, whatever length is announced.
        const int start = 16 << 10;
        var buffer = ArrayPool<byte>.Shared.Rent(start);
        var length = 0;
        try
        {
            while (length < FreeBytes)
            {
                if (length == buffer.Length)
                    buffer = Grow(buffer, length);
                var read = await http.Request.Body.ReadAsync(buffer.AsMemory(length), http.RequestAborted);
                if (read == 0)
                    return new RequestBody(buffer, length);
                length += read;
            }
            var api = ApiServices.Of(http);
            DemandCredentials(http, api);
            var large = new RequestBody(api.RequestBodies, await api.RequestBodies.ReceiveRestAsync(http, buffer.AsMemory(0, length)));
            ArrayPool<byte>.Shared.Return(buffer);
            return large;
        }
        catch
        {
            ArrayPool<byte>.Shared.Return(buffer);
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_array is not null)
            ArrayPool<byte>.Shared.Return(_array);
        if (_frame is not null)
            _bodies?.Return(_frame);
    }

    // What an endpoint demands is known once its body is: until then a client that rules know nothing of has no part of the memory.
    private static void DemandCredentials(HttpContext http, ApiServices api)
    {
        if (api.Gate.Security is { Enforces: true } && HttpAuthentication.PrincipalOf(http) == BrokerSession.Anonymous)
            throw new BrokerException(ErrorCode.SaslAuthenticationFailed, $"A body of {FreeBytes} bytes or more needs credentials. Send a "
                + "user's name and password as 'Authorization: Basic', a token as 'Authorization: Bearer', or a smaller body.");
    }

    private static byte[] Grow(byte[] buffer, int length)
    {
        var larger = ArrayPool<byte>.Shared.Rent(length * 2);
        buffer.AsSpan(0, length).CopyTo(larger);
        ArrayPool<byte>.Shared.Return(buffer);
        return larger;
    }
}
