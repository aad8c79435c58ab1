using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using OrleansMq.Gateways.Connections.Loops;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Connections;

/// <summary>
/// Sends responses over one connection in order. Small responses are joined; records are sent from where they are. The system sends records
/// in a file itself where it can; otherwise they are read piece by piece.
/// </summary>
/// <param name="socket">The client's socket.</param>
/// <param name="pieces">Shared by all connections of a gateway.</param>
internal sealed class ResponseSender(ClientSocket socket, PieceSizes pieces)
{
    // Larger parts are sent from where they are; smaller ones are joined.
    private const int CopyBytes = 16 << 10;
    // The most for one call, so that other connections get the processor: what clients usually fetch from a partition, with the fields
    // around it.
    private const int SendBytes = 2 << 20;
    private const int PieceBytes = 1 << 20;
    // Below what any system takes (1,024 on Linux).
    private const int MaxPieces = 256;
    // Where the client receives nothing more, this much is copied and sent: the send completes once the client receives again.
    private const int WaitBytes = 16 << 10;

    // False once a file system did not support it.
    private static volatile bool _sendsFiles = LinuxSockets.IsSupported;

    private readonly PooledBuffer _together = new();
    private readonly List<ArraySegment<byte>> _pieces = [];
    private volatile bool _isClosed;
    private volatile bool _isWaiting;
    private long _sent;

    /// <summary>Whether the system has sent every file so far that it was asked to send.</summary>
    public static bool SendsFiles => _sendsFiles;

    /// <summary>The loop that serves this connection where this is the loop's thread; null otherwise.</summary>
    public ConnectionLoop? CurrentLoop => socket.CurrentLoop;

    /// <summary>Whether nothing can be sent any more.</summary>
    public bool IsClosed => _isClosed;

    /// <summary>Whether a send waits for the client to receive something. May be read by any thread.</summary>
    public bool IsWaiting => _isWaiting;

    /// <summary>All bytes sent so far. May be read by any thread.</summary>
    public long Sent => Interlocked.Read(ref _sent);

    /// <summary>Whether no bytes wait to be sent with others.</summary>
    public bool IsFlushed => _together.Length == 0;

    /// <summary>Sends nothing from now on.</summary>
    public void Close() => _isClosed = true;

    /// <summary>Sends a response, or keeps it for the next <see cref="FlushAsync"/>.</summary>
    public async ValueTask PutAsync(Response response)
    {
        if (_isClosed)
            return;
        if (response.LargestRecords >= CopyBytes)
        {
            if (response.HasSlices)
                await SendSlicesAsync(response).ConfigureAwait(false);
            else
                await SendFromMemoryAsync(response).ConfigureAwait(false);
            return;
        }
        foreach (var part in response.Parts())
        {
            _together.Write(part.Memory.Span);
            if (_together.Length >= CopyBytes)
                await FlushAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Sends what was kept.</summary>
    /// <param name="isLast">Whether no further response is known: an idle connection holds no memory.</param>
    public async ValueTask FlushAsync(bool isLast = false)
    {
        if (_together.Length > 0)
            await SendAsync(_together.WrittenMemory).ConfigureAwait(false);
        if (isLast)
            _together.Dispose();
        else
            _together.Clear();
    }

    private async ValueTask SendSlicesAsync(Response response)
    {
        foreach (var part in response.Parts())
        {
            if (part.Slice is { } slice)
            {
                var isByFile = _sendsFiles && socket.SendsFiles && slice.File is not null;
                var sent = isByFile ? await SendFileAsync(slice).ConfigureAwait(false) : 0;
                if (sent < slice.Length)
                    await SendCopiedAsync(slice, sent, response.Length).ConfigureAwait(false);
            }
            else if (part.Length < CopyBytes)
            {
                _together.Write(part.Memory.Span);
            }
            else
            {
                await FlushAsync().ConfigureAwait(false);
                await SendAsync(part.Memory).ConfigureAwait(false);
            }
        }
    }

    // The fields before the records are sent with them: alone they would wake the client for nothing. Returns how much was sent: all,
    // unless the system cannot send this file, or the connection has ended.
    private async ValueTask<int> SendFileAsync(RecordSlice slice)
    {
        var start = 0;
        try
        {
            await SendMoreAsync().ConfigureAwait(false);
            while (start < slice.Length && !_isClosed)
            {
                var outcome = LinuxSockets.SendFile(socket.Socket, slice.File!, slice.Path, slice.Position + start,
                    Math.Min(slice.Length - start, SendBytes), out var sent);
                start += sent;
                Count(sent);
                if (outcome == LinuxSockets.Outcome.Unsupported)
                {
                    _sendsFiles = false;
                    return start;
                }
                if (outcome == LinuxSockets.Outcome.Full)
                {
                    var read = slice.Read(_together.GetSpan(WaitBytes)[..WaitBytes], start);
                    _together.Advance(read);
                    start += read;
                    await FlushAsync().ConfigureAwait(false);
                }
            }
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            _isClosed = true;
        }
        return start;
    }

    private async ValueTask SendMoreAsync()
    {
        var sent = 0;
        if (!IsFlushed)
            LinuxSockets.SendMore(socket.Socket, _together.WrittenMemory.Span, out sent);
        Count(sent);
        if (sent < _together.Length)
            await SendAsync(_together.WrittenMemory[sent..]).ConfigureAwait(false);
        _together.Clear();
    }

    // Behind the fields before it, and its end before those that follow.
    private async ValueTask SendCopiedAsync(RecordSlice slice, int start, long responseBytes)
    {
        var pieceBytes = pieces.Take();
        try
        {
            // Reserved at once, since growing step by step copies. The rest of the previous slice and the fields after it may exceed a
            // piece.
            _together.GetSpan((int)Math.Max(Math.Min(responseBytes, pieceBytes - _together.Length), 0));
            while (start < slice.Length && !_isClosed)
            {
                if (_together.Length >= pieceBytes)
                    await FlushAsync().ConfigureAwait(false);
                var count = Math.Min(slice.Length - start, pieceBytes - _together.Length);
                start += slice.Read(_together.GetSpan(count)[..count], start);
                _together.Advance(count);
            }
        }
        finally
        {
            pieces.Return(pieceBytes);
        }
    }

    // Fields and records are sent with one call: fields alone would wake the client for nothing.
    private async ValueTask SendFromMemoryAsync(Response response)
    {
        var bytes = _together.Length;
        Gather(_together.WrittenMemory);
        foreach (var part in response.Parts())
        {
            for (var rest = part.Memory; !rest.IsEmpty; rest = rest[Math.Min(rest.Length, PieceBytes)..])
            {
                var piece = rest[..Math.Min(rest.Length, PieceBytes)];
                if (bytes + piece.Length > SendBytes || _pieces.Count == MaxPieces)
                {
                    await SendPiecesAsync().ConfigureAwait(false);
                    bytes = 0;
                }
                Gather(piece);
                bytes += piece.Length;
            }
        }
        await SendPiecesAsync().ConfigureAwait(false);
        _together.Clear();
    }

    private void Gather(ReadOnlyMemory<byte> bytes)
    {
        if (!bytes.IsEmpty)
            _pieces.Add(MemoryMarshal.TryGetArray(bytes, out var piece) ? piece : bytes.ToArray());
    }

    private async ValueTask SendPiecesAsync()
    {
        try
        {
            while (_pieces.Count > 0 && !_isClosed)
                Drop(await Watched(socket.SendAsync(_pieces)).ConfigureAwait(false));
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            _isClosed = true;
        }
        _pieces.Clear();
    }

    // Drops what was sent, usually all.
    private void Drop(int sent)
    {
        var done = 0;
        while (done < _pieces.Count && sent >= _pieces[done].Count)
            sent -= _pieces[done++].Count;
        _pieces.RemoveRange(0, done);
        if (sent > 0)
            _pieces[0] = _pieces[0][sent..];
    }

    private async ValueTask SendAsync(ReadOnlyMemory<byte> bytes)
    {
        try
        {
            while (!bytes.IsEmpty && !_isClosed)
                bytes = bytes[await Watched(socket.SendAsync(bytes[..Math.Min(bytes.Length, SendBytes)])).ConfigureAwait(false)..];
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            _isClosed = true;
        }
    }

    // One send at a time.
    private void Count(int sent) => Volatile.Write(ref _sent, _sent + sent);

    private ValueTask<int> Watched(ValueTask<int> sending)
    {
        if (!sending.IsCompletedSuccessfully)
            return WatchAsync(sending);
        var sent = sending.Result;
        Count(sent);
        return new ValueTask<int>(sent);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> WatchAsync(ValueTask<int> sending)
    {
        _isWaiting = true;
        try
        {
            var sent = await sending.ConfigureAwait(false);
            Count(sent);
            return sent;
        }
        finally
        {
            _isWaiting = false;
        }
    }
}
