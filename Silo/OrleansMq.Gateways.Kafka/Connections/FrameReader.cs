using System.Buffers.Binary;
using System.Net.Sockets;
using System.Runtime.CompilerServices;

namespace OrleansMq.Gateways.Kafka.Connections;

/// <summary>
/// Takes requests from a socket: what comes before a length is known through a small buffer of its own, so that an idle connection has no more than that; the rest of
/// a request straight into the memory it stays in. Used by one at a time.
/// </summary>
/// <param name="socket">Where from.</param>
/// <param name="beforeWait">Called when nothing has arrived, before it is waited for.</param>
internal sealed class FrameReader(Socket socket, Action beforeWait)
{
    // Several small requests come with one call; of a large one so much is copied.
    private const int HeadBytes = 1024;

    private readonly byte[] _head = new byte[HeadBytes];
    private int _start;
    private int _end;

    /// <summary>The length in front of the next request.</summary>
    /// <returns>Null where the client has gone.</returns>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<int?> ReadLengthAsync()
    {
        while (_end - _start < sizeof(int))
        {
            if (!await ReceiveAsync().ConfigureAwait(false))
                return null;
        }
        var length = BinaryPrimitives.ReadInt32BigEndian(_head.AsSpan(_start));
        _start += sizeof(int);
        return length;
    }

    /// <summary>Fills a request.</summary>
    /// <returns>False where the client has gone before its end.</returns>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<bool> FillAsync(RequestFrame frame)
    {
        _start += frame.Fill(_head.AsSpan(_start, _end - _start));
        while (frame.Missing > 0)
        {
            var count = await ReceiveAsync(frame.Room).ConfigureAwait(false);
            if (count == 0)
                return false;
            frame.Advance(count);
        }
        return true;
    }

    /// <summary>Whether nothing of the next request has arrived.</summary>
    public bool IsEmpty => _end == _start;

    /// <summary>Waits until more of the next request's beginning arrives.</summary>
    /// <returns>False where the client has gone.</returns>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<bool> ReceiveAsync()
    {
        _head.AsSpan(_start, _end - _start).CopyTo(_head);
        (_start, _end) = (0, _end - _start);
        var count = await ReceiveAsync(_head.AsMemory(_end)).ConfigureAwait(false);
        _end += count;
        return count > 0;
    }

    private ValueTask<int> ReceiveAsync(Memory<byte> into)
    {
        var receiving = socket.ReceiveAsync(into, SocketFlags.None);
        if (!receiving.IsCompleted)
            beforeWait();
        return receiving;
    }
}
