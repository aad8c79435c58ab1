namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>A batch of a <see cref="PublishLane"/>. It is encoded for each attempt to append it, once there is room: between attempts it
/// takes no memory beside its messages. For one caller at a time.</summary>
/// <param name="messages">The messages, in order.</param>
/// <param name="room">The room for the batches of all lanes; null: there is always room.</param>
/// <param name="isSuspect">Whether the queue did not take the lane's last batch.</param>
/// <param name="time">The clock.</param>
internal sealed class LaneBatch(List<PublishLane.Publish> messages, BatchRoom? room, bool isSuspect, TimeProvider time)
{
    private readonly long _bytes = messages.Sum(static publish => (long)publish.Message.Bytes);
    private bool _isAgain = isSuspect;

    /// <summary>Attempts to append the batch.</summary>
    /// <param name="attempt">Appends these bytes, which are its own until it ends. Called once, or not at all.</param>
    /// <param name="wait">How long the attempt waits for room at most; null: as long as it takes.</param>
    /// <returns>What the attempt returned; null where it has not begun in time.</returns>
    public async Task<T?> TryAsync<T>(Func<Memory<byte>, ValueTask<T>> attempt, TimeSpan? wait = null)
        where T : struct
    {
        var isAgain = _isAgain;
        _isAgain = true;
        if (room is null)
            return await EncodeAsync(attempt).ConfigureAwait(false);
        if (!await room.EnterAsync(_bytes, isAgain, wait ?? Timeout.InfiniteTimeSpan, time).ConfigureAwait(false))
            return null;
        try
        {
            return await EncodeAsync(attempt).ConfigureAwait(false);
        }
        finally
        {
            room.Exit(_bytes, isAgain);
        }
    }

    private async Task<T> EncodeAsync<T>(Func<Memory<byte>, ValueTask<T>> attempt)
        where T : struct
    {
        using var batch = MessageRecords.Encode(messages);
        return await attempt(batch.Build()).ConfigureAwait(false);
    }
}
