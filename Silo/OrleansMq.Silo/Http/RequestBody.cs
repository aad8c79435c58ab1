using System.Buffers;
using Microsoft.AspNetCore.Http.Features;

namespace OrleansMq.Silo.Http;

/// <summary>A whole request body in pooled memory; dispose gives it back.</summary>
internal readonly struct RequestBody(byte[] array, int length) : IDisposable
{
    /// <summary>The most a body of JSON may have: far more than any administrative request needs.</summary>
    public const int MaxJsonBytes = 1 << 20;

    /// <summary>
    /// The most a raw record batch may have, whatever its topic allows: as much as Kafka takes in one request, so that a length somebody
    /// made up cannot take the memory of everyone else.
    /// </summary>
    public const int MaxBatchBytes = 100 << 20;

    /// <summary>The bytes.</summary>
    public Memory<byte> Memory => array.AsMemory(0, length);

    /// <summary>Raises or lowers the limit of this request's body; null is none.</summary>
    public static void Limit(HttpContext http, long? bytes)
    {
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } feature)
            feature.MaxRequestBodySize = bytes;
    }

    /// <summary>Reads the body to its end; the server stops a body above its limit.</summary>
    public static async ValueTask<RequestBody> ReadAsync(HttpContext http, CancellationToken cancellationToken)
    {
        const int UnknownLengthStart = 16 << 10;
        // One byte more than announced, so that the read that finds the end needs no larger buffer.
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
