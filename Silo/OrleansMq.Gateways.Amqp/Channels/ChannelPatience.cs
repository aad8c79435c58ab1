namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>
/// How long a channel's commands wait for queues: as long as it takes, until the channel ends. From then on each wait has a limit. After
/// one that exceeded it no other waits, so that the end comes. For one caller at a time.
/// </summary>
/// <param name="ending">Completes when the end of the channel waits behind its commands.</param>
/// <param name="limit">How long a wait of a channel that ends may take.</param>
/// <param name="time">The clock.</param>
internal sealed class ChannelPatience(Task ending, TimeSpan limit, TimeProvider time)
{
    private bool _isOver;

    /// <summary>Waits for a task.</summary>
    /// <returns>Whether it has completed; if not, the wait is given up.</returns>
    public async ValueTask<bool> WaitAsync(Task task)
    {
        if (task.IsCompleted || _isOver)
            return task.IsCompleted;
        if (await Task.WhenAny(task, ending).ConfigureAwait(false) != task)
        {
            await task.WaitAsync(limit, time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            _isOver = !task.IsCompleted;
        }
        return task.IsCompleted;
    }
}
