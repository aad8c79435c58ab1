using System.Buffers;
using Microsoft.AspNetCore.Http.Features;

namespace OrleansMq.Gateways.Http;

/// <summary>A whole request body in pooled memory; dispose returns it.</summary>
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
        const int UnknownLengthStart = 16 << 10;
        // One byte more than announced, so that the read that detects the end needs no larger buffer.
        var buffer = ArrayPool<byte>.Shared.Rent(http.Request.ContentLength is { } known ? (int)Math.Min(known, MaxBatchBytes) + 1
            : UnknownLengthStart);
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
