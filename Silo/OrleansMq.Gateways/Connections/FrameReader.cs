using System.Buffers;
using System.Runtime.CompilerServices;
using OrleansMq.Gateways.Connections.Loops;

namespace OrleansMq.Gateways.Connections;

/// <summary>
/// Receives frames from a socket. A frame's head arrives in a small buffer, so an idle connection holds no more than that. A large frame is
/// received straight into the memory that it stays in. Small frames are copied: many may have arrived together, and one call receives them
/// into a larger pooled buffer, which is returned before the reader waits. Not thread safe.
/// </summary>
/// <param name="socket">The client's socket.</param>
/// <param name="beforeWait">Called when nothing has arrived, before the reader waits.</param>
/// <param name="grow">Takes memory for a frame's next step.</param>
internal sealed class FrameReader(ClientSocket socket, Action beforeWait, Func<RequestFrame, ValueTask> grow)
{
    /// <summary>The size of the small buffer, in bytes. A request with a record of 1,000 bytes arrives with one call; as much of a large
    /// request is copied.</summary>
    public const int HeadBytes = 1536;

    // Copying this much costs less than a system call.
    private const int SmallBytes = 4 << 10;
    private const int ManyBytes = RequestFrame.FirstBytes / 2;

    private readonly byte[] _head = new byte[HeadBytes];
    // Rented while small frames follow each other; null otherwise.
    private byte[]? _many;
    private int _start;
    private int _end;

    /// <summary>Returns once a frame's head has arrived.</summary>
    /// <param name="bytes">The head's size, at most <see cref="HeadBytes"/>.</param>
    /// <returns>False where the client disconnected.</returns>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<bool> ReceiveHeadAsync(int bytes)
    {
        while (_end - _start < bytes)
        {
            if (!await ReceiveAsync().ConfigureAwait(false))
                return false;
        }
        return true;
    }

    /// <summary>Returns a head that has arrived; valid until the next call.</summary>
    public ReadOnlySpan<byte> TakeHead(int bytes)
    {
        var head = Arrived[..bytes];
        _start += bytes;
        return head;
    }

    /// <summary>Fills a frame, which has the memory of its first step.</summary>
    /// <returns>False where the client disconnected before its end.</returns>
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
            // A large frame takes a while to arrive and to be written: other connections wait for this thread.
            if (frame.Length > ConnectionLoop.MaxQuickBytes && socket.CurrentLoop is not null)
                await LoopExit.Now;
            if (frame.MustGrow)
                await grow(frame).ConfigureAwait(false);
            var count = await ReceiveAsync(frame.Room).ConfigureAwait(false);
            if (count == 0)
                return false;
            frame.Advance(count);
        }
        return true;
    }

    /// <summary>Whether nothing of the next frame has arrived.</summary>
    public bool IsEmpty => _end == _start;

    /// <summary>Returns once more of the next frame's head has arrived.</summary>
    /// <returns>False where the client disconnected.</returns>
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

    /// <summary>Returns pooled memory; what has arrived in it and was not read is lost.</summary>
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
