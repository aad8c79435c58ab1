namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// Dead-letters what a queue has above its length, from its head, after each publish and before its confirm. Publishes that come while one
/// round is on its way share the next. What consumers hold does not count. Of several brokers the leader of the queue's partition trims:
/// what comes through others is trimmed within a second.
/// </summary>
/// <param name="queue">The queue.</param>
internal sealed class LengthTrim(LogQueue queue) : IAsyncDisposable
{
    private const int MaxDropped = 256;

    private readonly SemaphoreSlim _gate = new(1);
    private LogReader? _reader;
    private long _asked;
    private long _done;
    private bool _hasEnded;

    /// <summary>Drops what is too much.</summary>
    /// <exception cref="QueueGoneException">The queue is deleted.</exception>
    public async Task TrimAsync()
    {
        if (!queue.IsLed)
            return;
        var asked = Interlocked.Increment(ref _asked);
        await _gate.WaitAsync().ConfigureAwait(false);
        try
        {
            if (_done >= asked || _hasEnded)
                return;
            var round = Interlocked.Read(ref _asked);
            await DropAsync().ConfigureAwait(false);
            _done = round;
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
        while (await ExcessAsync().ConfigureAwait(false) is > 0 and var excess)
        {
            if (_reader is null)
            {
                var reader = new LogReader(queue, int.MaxValue);
                await reader.AttachAsync().ConfigureAwait(false);
                _reader = reader;
            }
            var before = _reader.Ended;
            await _reader.EndHeadAsync((int)Math.Min(excess, MaxDropped), DeathReason.MaxLength).ConfigureAwait(false);
            // A single active consumer's queue gives it no turn while another is attached, and none to others while it is.
            if (queue.Settings.SingleActiveConsumer)
                await ReleaseAsync().ConfigureAwait(false);
            if (_reader?.Ended == before || _reader is null)
                return;
        }
    }

    private async ValueTask<long> ExcessAsync() => queue.Settings.MaxLength is { } most
        ? (await queue.CountAllAsync().ConfigureAwait(false)).Ready - most : 0;

    private async ValueTask ReleaseAsync()
    {
        if (_reader is { } reader)
            await reader.DisposeAsync().ConfigureAwait(false);
        _reader = null;
    }
}
