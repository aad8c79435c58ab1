namespace OrleansMq.Client;

/// <summary>One attempt to handle a record.</summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
public sealed class MessageContext<TKey, TValue>
{
    private readonly Func<string, Task>? _write;
    private readonly Lock _gate = new();
    private Task? _writing;
    private bool _hasEnded;

    /// <summary>Creates an attempt, as for a test of a handler.</summary>
    /// <param name="record">The record.</param>
    /// <param name="attempt">The number of the attempt, from 1.</param>
    public MessageContext(ConsumeResult<TKey, TValue> record, int attempt = 1) : this(record, attempt, null) { }

    internal MessageContext(ConsumeResult<TKey, TValue> record, int attempt, Func<string, Task>? write)
    {
        Record = record;
        Attempt = attempt;
        _write = write;
    }

    /// <summary>The record.</summary>
    public ConsumeResult<TKey, TValue> Record { get; }

    /// <summary>The record's key.</summary>
    public TKey Key => Record.Key;

    /// <summary>The record's value.</summary>
    public TValue Value => Record.Value;

    /// <summary>The record's headers.</summary>
    public IReadOnlyList<RecordHeader> Headers => Record.Headers;

    /// <summary>The number of this attempt, from 1. It counts attempts of this process since the partition was assigned.</summary>
    public int Attempt { get; }

    /// <summary>Why the handler has given the record up; null if it has not.</summary>
    public string? DeadLetterReason { get; private set; }

    /// <summary>
    /// Gives the record up: writes it to its dead-letter topic with a reason, whatever <see cref="MessageHandlingOptions.OnFailure"/> says.
    /// The record is then done, and is not retried even if the handler throws afterwards. Until the dead letter is written, the attempt
    /// lasts, even if the handler does not await it. Further calls meanwhile, or afterwards, wait for the same dead letter.
    /// </summary>
    /// <param name="reason">Why, in the header <see cref="DeadLetterHeaders.Reason"/>.</param>
    /// <param name="cancellationToken">Ends the wait; the dead letter is written nevertheless.</param>
    /// <exception cref="OrleansMqException">The dead letter could not be written. The attempt has then failed, even if the handler catches
    /// the exception. After the last attempt the partition stops rather than skip the record.</exception>
    /// <exception cref="InvalidOperationException">The attempt has ended.</exception>
    public Task DeadLetterAsync(string reason, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(reason);
        if (cancellationToken.IsCancellationRequested)
            return Task.FromCanceled(cancellationToken);
        lock (_gate)
        {
            if (_hasEnded)
                throw new InvalidOperationException($"Attempt {Attempt} at {Record.TopicPartition}, offset {Record.Offset}, has ended. "
                    + "Call DeadLetterAsync before the handler returns.");
            if (_write is null)
                DeadLetterReason ??= reason;
            else if (_writing is null or { IsFaulted: true } or { IsCanceled: true })
                _writing = WriteAsync(_write, reason);
            return _writing?.WaitAsync(cancellationToken) ?? Task.CompletedTask;
        }
    }

    /// <summary>Why the dead letter that the handler asked for could not be written; null if it was, or none was asked for.</summary>
    internal Exception? DeadLetterFailure { get; private set; }

    /// <summary>Ends the attempt, once no dead letter is being written.</summary>
    internal async Task EndAsync()
    {
        Task? writing;
        lock (_gate)
        {
            _hasEnded = true;
            writing = _writing;
        }
        try
        {
            if (writing is not null)
                await writing.ConfigureAwait(false);
        }
        catch (Exception e)
        {
            DeadLetterFailure = e;
        }
    }

    private async Task WriteAsync(Func<string, Task> write, string reason)
    {
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding); // Leaves the lock.
        await write(reason).ConfigureAwait(false);
        DeadLetterReason = reason;
    }
}
