using OrleansMq.Records;

namespace OrleansMq.Client;

/// <summary>One attempt to handle a record.</summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
public sealed class MessageContext<TKey, TValue>
{
    private readonly Func<string, CancellationToken, Task>? _deadLetter;

    /// <summary>Creates an attempt, as for a test of a handler.</summary>
    /// <param name="record">The record.</param>
    /// <param name="attempt">The number of the attempt, from 1.</param>
    public MessageContext(ConsumeResult<TKey, TValue> record, int attempt = 1) : this(record, attempt, null) { }

    internal MessageContext(ConsumeResult<TKey, TValue> record, int attempt, Func<string, CancellationToken, Task>? deadLetter)
    {
        Record = record;
        Attempt = attempt;
        _deadLetter = deadLetter;
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
    /// The record is then done, and is not retried even if the handler throws afterwards.
    /// </summary>
    /// <param name="reason">Why, in the header <see cref="DeadLetterHeaders.Reason"/>.</param>
    /// <param name="cancellationToken">Ends the wait; the dead letter may be written nevertheless.</param>
    /// <exception cref="OrleansMqException">The dead letter could not be written. Let the exception pass, so that the record is
    /// retried.</exception>
    public async Task DeadLetterAsync(string reason, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(reason);
        if (DeadLetterReason is not null)
            return;
        if (_deadLetter is not null)
            await _deadLetter(reason, cancellationToken).ConfigureAwait(false);
        DeadLetterReason = reason;
    }
}
