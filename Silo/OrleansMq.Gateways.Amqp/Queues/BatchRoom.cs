namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// The room for batches on their way to queues on the log. A batch has room for one attempt to append it. Batches of queues that did not
/// take the last attempt have a quarter of the room: those of other queues do not wait for them. Thread safe.
/// </summary>
/// <param name="limit">The most bytes under way, unless one batch alone has more.</param>
internal sealed class BatchRoom(long limit)
{
    private readonly CopyRoom _all = new(limit);
    private readonly CopyRoom _again = new(limit / 4);

    /// <summary>The most bytes that were under way at once.</summary>
    public long MostBytes => _all.MostBytes;

    /// <summary>The number of batches that wait.</summary>
    public int Waiting => _all.Waiting + _again.Waiting;

    /// <summary>Lets an attempt in, or has it wait.</summary>
    /// <param name="bytes">The bytes of its batch, as <see cref="Exit"/> is told.</param>
    /// <param name="isAgain">Whether the queue did not take the last attempt, as <see cref="Exit"/> is told.</param>
    /// <param name="wait">How long it waits at most.</param>
    /// <param name="time">The clock.</param>
    /// <returns>Whether it is in; if not, it has waited that long.</returns>
    public async ValueTask<bool> EnterAsync(long bytes, bool isAgain, TimeSpan wait, TimeProvider time)
    {
        var began = time.GetTimestamp();
        if (isAgain && !await EnterAsync(_again, bytes, wait, time).ConfigureAwait(false))
            return false;
        if (wait != Timeout.InfiniteTimeSpan)
            wait -= TimeSpan.FromTicks(Math.Min(wait.Ticks, time.GetElapsedTime(began).Ticks));
        if (await EnterAsync(_all, bytes, wait, time).ConfigureAwait(false))
            return true;
        if (isAgain)
            _again.Exit(bytes);
        return false;
    }

    /// <summary>An attempt that was let in is answered.</summary>
    public void Exit(long bytes, bool isAgain)
    {
        _all.Exit(bytes);
        if (isAgain)
            _again.Exit(bytes);
    }

    private static async ValueTask<bool> EnterAsync(CopyRoom room, long bytes, TimeSpan wait, TimeProvider time)
    {
        var entry = room.EnterAsync(bytes);
        if (entry.IsCompleted)
            return true;
        await entry.WaitAsync(wait, time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return entry.IsCompleted || !room.TryWithdraw(entry);
    }
}
