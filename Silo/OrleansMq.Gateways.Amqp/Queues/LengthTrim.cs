namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// Dead-letters what a queue has above its length and bytes, from its head, after each publish and before its confirm. Publishes that come
/// while one round is on its way share the next. Where dead letters cannot be stored the queue is longer than its limits until they are.
/// What consumers hold does not count. Of several brokers the leader of the queue's partition trims: what comes through others is trimmed
/// within a second.
/// </summary>
/// <param name="queue">The queue.</param>
internal sealed class LengthTrim(LogQueue queue) : IAsyncDisposable
{
    private readonly Lock _lock = new();
    private readonly SemaphoreSlim _gate = new(1);
    // The round that has not begun.
    private Task? _next;
    private LogReader? _reader;
    private bool _hasEnded;

    /// <summary>Drops what is too much.</summary>
    /// <exception cref="QueueGoneException">The queue is deleted.</exception>
    public Task TrimAsync()
    {
        if (!MayTrim)
            return Task.CompletedTask;
        lock (_lock)
            return _next ??= Task.Run(RunAsync);
    }

    // While dead letters are stuck the queue keeps what is too much; its head yields to what has expired behind it.
    private bool MayTrim => queue.IsLed && queue.Letters.Wait == TimeSpan.Zero
        && (!queue.Letters.AreStuck || queue.Letters.Yield == TimeSpan.Zero);

    private async Task RunAsync()
    {
        await _gate.WaitAsync().ConfigureAwait(false);
        try
        {
            lock (_lock)
                _next = null;
            if (!_hasEnded && MayTrim)
                await DropAsync().ConfigureAwait(false);
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _gate.WaitAsync().ConfigureAwait(false);
        try
        {
            _hasEnded = true;
            await ReleaseAsync().ConfigureAwait(false);
        }
        finally
        {
            _gate.Release();
        }
    }

    private async Task DropAsync()
    {
        while (await ExcessAsync().ConfigureAwait(false) is var (messages, bytes) && (messages > 0 || bytes > 0))
        {
            if (_reader is null)
            {
                var reader = new LogReader(queue, queue.Settings.SingleActiveConsumer ? IAmqpQueue.Beside : int.MaxValue);
                await reader.AttachAsync().ConfigureAwait(false);
                _reader = reader;
            }
            var before = _reader.Ended;
            await _reader.EndHeadAsync(messages, bytes, DeathReason.MaxLength).ConfigureAwait(false);
            if (_reader.Ended == before)
                return;
        }
    }

    private async ValueTask<(long Messages, long Bytes)> ExcessAsync()
    {
        var (settings, counts) = (queue.Settings, await queue.CountAllAsync().ConfigureAwait(false));
        return (settings.MaxLength is { } length ? counts.Ready - length : 0,
            settings.MaxLengthBytes is { } bytes ? (counts.ReadyBytes ?? 0) - bytes : 0);
    }

    private async ValueTask ReleaseAsync()
    {
        if (_reader is { } reader)
            await reader.DisposeAsync().ConfigureAwait(false);
        _reader = null;
    }
}
