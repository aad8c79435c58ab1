namespace OrleansMq.Consumers;

/// <summary>What is to be done with a record: a call of its grain, or why there is none.</summary>
/// <param name="Call">Calls the grain. Where it throws, the record has failed.</param>
/// <param name="Refusal">Why the grain is not called; null: it is.</param>
internal readonly record struct ReadRecord(Func<CancellationToken, Task>? Call, DeliveryAnswer? Refusal);

/// <summary>Options of calls at their grain.</summary>
/// <param name="TurnTimeout">How long a call waits for an earlier one.</param>
/// <param name="WorkTimeout">How long a call may take, its wait included, before its token is cancelled.</param>
/// <param name="DeactivateOnFailure">Whether the activation ends when a call of it throws.</param>
internal readonly record struct TurnOptions(TimeSpan TurnTimeout, TimeSpan WorkTimeout, bool DeactivateOnFailure);

/// <summary>Passes records to one activation, one at a time and in order, and remembers which it has handled. Runs in the activation's
/// turns.</summary>
/// <param name="grain">The activation.</param>
/// <param name="options">The options.</param>
/// <param name="skipped">Is told of records that the activation has handled before.</param>
/// <param name="stopping">Is cancelled when the silo stops.</param>
internal sealed class RecordTurns(IGrainContext grain, TurnOptions options, Action<RecordDelivery, ConsumedItem> skipped,
    CancellationToken stopping)
{
    // The last record of a call then has nearly all of the time that a call may take.
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(1);

    private readonly SemaphoreSlim _turn = new(1);
    private readonly CurrentDeliveries _deliveries = new();
    // One entry a topic, unless a producer chose partitions or the topic was created again.
    private readonly Dictionary<Guid, long> _served = [];
    private readonly LastSource _source = new();
    private (Guid Source, long Offset)? _current;
    // What is in memory may not be what is stored.
    private bool _hasFailed;

    /// <summary>Returns the record that the activation works at; null: at none of this source.</summary>
    /// <param name="source">The source.</param>
    public long? FindCurrent(Guid source) => _current is var (current, offset) && current == source ? offset : null;

    /// <summary>Whether a delivery has the turn or waits for it.</summary>
    /// <param name="delivery">The delivery's id.</param>
    public bool IsDelivering(Guid delivery) => _deliveries.Has(delivery);

    /// <summary>Delivers records of one key. Completes when the activation has handled all of them, or one failed.</summary>
    /// <param name="delivery">The records.</param>
    /// <param name="read">Reads a record. An exception means that it cannot be read, whatever the attempt.</param>
    /// <param name="cancellationToken">Is cancelled when the answer is not waited for any more.</param>
    /// <exception cref="ArgumentOutOfRangeException">A record has an offset that there is not.</exception>
    public async Task<DeliveryAnswer> DeliverAsync(RecordDelivery delivery, Func<ConsumedItem, ReadRecord> read,
        CancellationToken cancellationToken)
    {
        DeliveredOffsets.Validate<ConsumedItem, string>(delivery.Items, static item => item.Offset, delivery.Topic, delivery.Partition);
        using var current = _deliveries.Begin(delivery.DeliveryId);
        var began = TimeProvider.System.GetTimestamp();
        using var deadline = new CancellationTokenSource(options.WorkTimeout);
        using var work = CancellationTokenSource.CreateLinkedTokenSource([cancellationToken, stopping, deadline.Token]);
        // A dispatcher that could not settle what it delivers may still wait for its call, also where calls interleave.
        if (!await _turn.WaitAsync(options.TurnTimeout))
            return new DeliveryAnswer(0, DeliveryOutcome.Unreachable, "The grain still handles a record that was delivered before.");
        try
        {
            // Calls of a reentrant grain that wait here run before it ends.
            return !_hasFailed ? await InOrderAsync(delivery, read, began, deadline, work)
                : new DeliveryAnswer(0, DeliveryOutcome.Unreachable, "The activation ends, since an earlier record "
                    + "failed. The record waits for the next one.");
        }
        finally
        {
            _current = null;
            _turn.Release();
        }
    }

    private async Task<DeliveryAnswer> InOrderAsync(RecordDelivery delivery, Func<ConsumedItem, ReadRecord> read, long began,
        CancellationTokenSource deadline, CancellationTokenSource work)
    {
        var source = _source.Of(delivery.Queue, delivery.Partition, delivery.Key);
        // Delivered before, by a dispatcher that could not settle them.
        var count = _served.TryGetValue(source, out var served) ? delivery.Items.TakeWhile(item => item.Offset <= served).Count() : 0;
        foreach (var item in delivery.Items.AsSpan(0, count))
            skipped(delivery, item);
        while (count < delivery.Items.Length)
        {
            var item = delivery.Items[count];
            _current = (source, item.Offset);
            if (await ServeAsync(delivery, item, read, deadline, work) is { } unserved)
                return unserved with { Count = count };
            _served[source] = item.Offset;
            count++;
            // What is left goes to another call, when this one is not waited for.
            if (TimeProvider.System.GetElapsedTime(began) > Longest || work.IsCancellationRequested)
                break;
        }
        return new DeliveryAnswer(count, DeliveryOutcome.Served);
    }

    // Returns why the record is not served; null: it is.
    private async Task<DeliveryAnswer?> ServeAsync(RecordDelivery delivery, ConsumedItem item, Func<ConsumedItem, ReadRecord> read,
        CancellationTokenSource deadline, CancellationTokenSource work)
    {
        ReadRecord record;
        try
        {
            record = read(item);
        }
        catch (Exception refused)
        {
            return new DeliveryAnswer(0, DeliveryOutcome.Unreadable, $"The value is none that the class consumes: {Causes.Of(refused)}");
        }
        if (record.Refusal is not null)
            return record.Refusal;
        try
        {
            await record.Call!(work.Token);
            return null;
        }
        catch (Exception thrown)
        {
            // What the call has changed in memory and not stored is forgotten. With an exception as the reason, Orleans would throw it to
            // the other callers of the grain that wait; without one the next activation answers them.
            if (options.DeactivateOnFailure)
            {
                _hasFailed = true;
                grain.Deactivate(new DeactivationReason(DeactivationReasonCode.ApplicationError,
                    $"Consuming {delivery.Topic}-{delivery.Partition}, offset {item.Offset}, failed: {Causes.Of(thrown)}"));
            }
            if (thrown is not OperationCanceledException || !work.IsCancellationRequested)
                return new DeliveryAnswer(0, DeliveryOutcome.Failed, Causes.Of(thrown));
            return deadline.IsCancellationRequested
                ? new DeliveryAnswer(0, DeliveryOutcome.Failed,
                    $"The grain has not handled it in {options.WorkTimeout}. {Causes.Of(thrown)}")
                : new DeliveryAnswer(0, DeliveryOutcome.Unreachable, "The grain was told to give up: its silo or the one that delivers "
                    + $"stops, or the record is delivered again. {Causes.Of(thrown)}");
        }
    }
}
