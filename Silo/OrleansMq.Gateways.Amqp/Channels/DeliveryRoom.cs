using OrleansMq.Gateways.Amqp.Queues;

namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>
/// Bounds the messages that a connection's channels have received from queues and not handed to its output. A receive enters with a share
/// of the room, since its size is not known before. Its messages take the place of that share, and leave one by one as they are delivered
/// or returned. Receives enter in their order, and one at least is in: the messages of any size get through. Thread safe.
/// <para>A receive that waits for messages gives its share back. Where the room becomes full such receives are cancelled. What one of them
/// brings meanwhile goes back where it does not fit.</para>
/// </summary>
internal sealed class DeliveryRoom
{
    /// <summary>The bytes of all channels: many times what a connection's output holds.</summary>
    public const long MaxBytes = 32L << 20;

    /// <summary>The share of a receive: sixteen at a time find how much there is.</summary>
    public const long Share = MaxBytes / 16;

    private readonly CopyRoom _room = new(MaxBytes);
    private readonly Lock _lock = new();
    private CancellationTokenSource _full = new();

    /// <summary>The most bytes that were in it, with the shares of receives.</summary>
    public long MostBytes => _room.MostBytes;

    /// <summary>Whether receives wait for room.</summary>
    public bool IsScarce => _room.Waiting > 0;

    /// <summary>Cancelled when the room becomes full the next time. For receives that are in.</summary>
    public CancellationToken Full
    {
        get
        {
            lock (_lock)
            {
                if (_full.IsCancellationRequested)
                    _full = new CancellationTokenSource();
                return _full.Token;
            }
        }
    }

    /// <summary>Lets a receive in, or has it wait.</summary>
    /// <param name="gaveUp">Completes when the wait is to be given up.</param>
    /// <returns>Whether it is in; if not, the wait was given up.</returns>
    public async ValueTask<bool> EnterAsync(Task gaveUp)
    {
        var entry = _room.EnterAsync(Share);
        if (entry.IsCompleted)
            return true;
        await Task.WhenAny(entry, gaveUp).ConfigureAwait(false);
        return entry.IsCompleted || !_room.TryWithdraw(entry);
    }

    /// <summary>A receive waits for messages: its share is free meanwhile.</summary>
    public void Idles() => _room.Exit(Share);

    /// <summary>A receive with a share has ended.</summary>
    /// <param name="bytes">The bytes of its messages.</param>
    public void Received(long bytes)
    {
        _room.Exit(Share - bytes);
        if (bytes > 0 && _room.IsFull)
            CancelIdle();
    }

    /// <summary>A receive without a share has ended. Returns whether its messages are in; if not, they have to go back.</summary>
    /// <param name="bytes">The bytes of its messages.</param>
    public bool TryReceive(long bytes)
    {
        if (bytes == 0)
            return true;
        var isIn = _room.TryEnter(bytes);
        if (!isIn || _room.IsFull)
            CancelIdle();
        return isIn;
    }

    // The callbacks go on receives, on other threads.
    private void CancelIdle()
    {
        lock (_lock)
            _ = _full.CancelAsync();
    }

    /// <summary>A message is delivered, or returned.</summary>
    public void Left(long bytes) => _room.Exit(bytes);
}
