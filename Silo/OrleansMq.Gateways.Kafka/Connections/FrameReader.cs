using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using OrleansMq.Gateways.Kafka.Connections.Loops;

namespace OrleansMq.Gateways.Kafka.Connections;

/// <summary>
/// Takes requests from a socket: what comes before a length is known through a small buffer of its own, so that an idle connection has no
/// more than that; the rest of a request straight into the memory it stays in. Small requests are copied instead: where one does not end in
/// the small buffer there may be many behind it, and they come with one call into a larger one, which is given back before anything is
/// waited for. Used by one at a time.
/// </summary>
/// <param name="socket">Where from.</param>
/// <param name="beforeWait">Called when nothing has arrived, before it is waited for.</param>
internal sealed class FrameReader(ClientSocket socket, Action beforeWait)
{
    // A request with a record of 1,000 bytes comes with one call; of a large one so much is copied.
    private const int HeadBytes = 1536;
    // Copying this much costs less than a system call.
    private const int SmallBytes = 4 << 10;
    private const int ManyBytes = 64 << 10;

    private readonly byte[] _head = new byte[HeadBytes];
    // Rented while small requests follow each other; null otherwise.
    private byte[]? _many;
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
        var length = BinaryPrimitives.ReadInt32BigEndian(Arrived);
        _start += sizeof(int);
        return length;
    }

    /// <summary>Fills a request.</summary>
    /// <returns>False where the client has gone before its end.</returns>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<bool> FillAsync(RequestFrame frame)
    {
        _start += frame.Fill(Arrived);
        while (frame.Missing > 0)
        {
            if (frame.Length <= SmallBytes)
            {
                _many ??= ArrayPool<byte>.Shared.Rent(ManyBytes);
                (_start, _end) = (0, await ReceiveAsync(_many).ConfigureAwait(false));
                if (_end == 0)
                    return false;
                _start = frame.Fill(Arrived);
                continue;
            }
            // It takes a while to come, and to be written: other connections wait for this thread.
            if (frame.Length > KafkaConnection.MaxQuickBytes && socket.Turn is not null)
                await LoopExit.Now;
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
        Arrived.CopyTo(_head);
        (_start, _end) = (0, _end - _start);
        GiveBack();
        var count = await ReceiveAsync(_head.AsMemory(_end)).ConfigureAwait(false);
        _end += count;
        return count > 0;
    }

    /// <summary>Gives pooled memory back; what was in it is lost, unless it was read.</summary>
    public void GiveBack()
    {
        if (_many is null)
            return;
        ArrayPool<byte>.Shared.Return(_many);
        _many = null;
    }

    private ReadOnlySpan<byte> Arrived => (_many ?? _head).AsSpan(_start, _end - _start);

    private ValueTask<int> ReceiveAsync(Memory<byte> into)
    {
        var receiving = socket.ReceiveAsync(into);
        if (!receiving.IsCompleted)
            beforeWait();
        return receiving;
    }
}
