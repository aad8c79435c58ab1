using System.Buffers;
using Microsoft.AspNetCore.Http.Features;

namespace OrleansMq.Gateways.Http;

/// <summary>The whole body of an administrative request in pooled memory; dispose returns it.</summary>
internal readonly struct RequestBody(byte[] array, int length) : IDisposable
{
    /// <summary>The most bytes of a JSON body: far more than any administrative request needs.</summary>
    public const int MaxJsonBytes = 1 << 20;

    /// <summary>
    /// The most bytes of a raw record batch, whatever its topic allows: Kafka's limit for a request. So a false length cannot take all
    /// memory.
    /// </summary>
    public const int MaxBatchBytes = 100 << 20;

    /// <summary>The body's bytes.</summary>
    public Memory<byte> Memory => array.AsMemory(0, length);

    /// <summary>Sets the limit of this request's body; null for none.</summary>
    public static void Limit(HttpContext http, long? bytes)
    {
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } feature)
            feature.MaxRequestBodySize = bytes;
    }

    /// <summary>Reads the whole body; the server rejects a body above its limit.</summary>
    public static async ValueTask<RequestBody> ReadAsync(HttpContext http, CancellationToken cancellationToken)
    {
        // It grows with what arrives, whatever length is announced.
        const int start = 16 << 10;
        var buffer = ArrayPool<byte>.Shared.Rent(start);
        var length = 0;
        try
        {
            while (true)
            {
                var read = await http.Request.Body.ReadAsync(buffer.AsMemory(length), cancellationToken);
                if (read == 0)
                    return new RequestBody(buffer, length);
                length += read;
                if (length == buffer.Length)
                    buffer = Grow(buffer, length);
            }
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
        if (array is not null)
            ArrayPool<byte>.Shared.Return(array);
    }

    private static byte[] Grow(byte[] buffer, int length)
    {
        var larger = ArrayPool<byte>.Shared.Rent(length * 2);
        buffer.AsSpan(0, length).CopyTo(larger);
        ArrayPool<byte>.Shared.Return(buffer);
        return larger;
    }
}
