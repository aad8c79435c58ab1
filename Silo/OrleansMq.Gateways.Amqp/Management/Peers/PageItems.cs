using System.Buffers;
using System.Text.Json;

namespace OrleansMq.Gateways.Amqp.Management.Peers;

/// <summary>The items of a page that is written: as many as have room in <see cref="PeerPage.Bytes"/>, and one at least.</summary>
/// <param name="page">Writes the page, whose array of items is open.</param>
/// <param name="options">How items are written.</param>
internal sealed class PageItems(Utf8JsonWriter page, JsonWriterOptions options) : IDisposable
{
    // What follows the items, and the comma before the next one.
    private const int EndBytes = 128;

    private readonly ArrayBufferWriter<byte> _item = new();
    private Utf8JsonWriter? _writer;
    private bool _hasSome;

    /// <summary>Writes an item by itself, and adds it if it has room.</summary>
    /// <param name="write">Writes it.</param>
    /// <returns>False: it has none, and belongs to the next page.</returns>
    public bool TryAdd(Action<Utf8JsonWriter> write)
    {
        _item.ResetWrittenCount();
        if (_writer is null)
            _writer = new Utf8JsonWriter(_item, options);
        else
            _writer.Reset();
        write(_writer);
        _writer.Flush();
        if (_hasSome && page.BytesCommitted + page.BytesPending + _item.WrittenCount > PeerPage.Bytes - EndBytes)
            return false;
        page.WriteRawValue(_item.WrittenSpan, skipInputValidation: true);
        return _hasSome = true;
    }

    /// <inheritdoc/>
    public void Dispose() => _writer?.Dispose();
}
