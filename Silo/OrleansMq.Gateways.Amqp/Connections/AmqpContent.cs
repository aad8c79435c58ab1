using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Amqp.Connections;

/// <summary>
/// The content of a publish: properties and body, in one piece of pooled memory, which grows with what has arrived. Disposed once its
/// command is done.
/// </summary>
internal sealed class AmqpContent : IDisposable
{
    private readonly int _propertiesBytes;
    private byte[] _bytes;
    private int _filled;

    /// <param name="properties">Flags and values of the properties, which are copied.</param>
    /// <param name="bodyBytes">The size of the body that follows.</param>
    public AmqpContent(ReadOnlySpan<byte> properties, int bodyBytes)
    {
        (_propertiesBytes, BodyBytes) = (properties.Length, bodyBytes);
        _bytes = PooledBuffer.Take(properties.Length);
        properties.CopyTo(_bytes);
        _filled = properties.Length;
    }

    /// <summary>The size of the body, in bytes.</summary>
    public int BodyBytes { get; }

    /// <summary>The size of properties and body, in bytes.</summary>
    public int Bytes => _propertiesBytes + BodyBytes;

    /// <summary>Bytes of the body that have not arrived.</summary>
    public int Missing => Bytes - _filled;

    /// <summary>The properties as the client sent them.</summary>
    public ContentProperties Properties => new(_bytes.AsMemory(0, _propertiesBytes));

    /// <summary>The body, once nothing is missing.</summary>
    public ReadOnlyMemory<byte> Body => _bytes.AsMemory(_propertiesBytes, BodyBytes);

    /// <summary>Appends a part of the body, at most what is missing.</summary>
    public void Append(ReadOnlySpan<byte> part)
    {
        if (_bytes.Length - _filled < part.Length)
        {
            // At most twice what has arrived.
            var larger = PooledBuffer.Take((int)Math.Min(Bytes, Math.Max(_filled + (long)part.Length, 2L * _filled)));
            _bytes.AsSpan(0, _filled).CopyTo(larger);
            PooledBuffer.Return(_bytes);
            _bytes = larger;
        }
        part.CopyTo(_bytes.AsSpan(_filled));
        _filled += part.Length;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        var bytes = _bytes;
        _bytes = [];
        PooledBuffer.Return(bytes);
    }
}
