using Microsoft.Extensions.Logging;

namespace OrleansMq.Consumers;

/// <summary>Passes records to one activation, and remembers which it has handled. Runs in the activation's turns.</summary>
/// <param name="context">The activation.</param>
/// <param name="classes">What the grain classes of this silo consume.</param>
/// <param name="activations">The activations of this silo that consume.</param>
/// <param name="options">The options.</param>
/// <param name="logger">Takes records that are skipped.</param>
internal sealed partial class RecordReceiver(IGrainContextAccessor context, ConsumerClasses classes, ConsumingActivations activations,
    OrleansMqConsumerOptions options, ILogger<RecordReceiver> logger) : IRecordReceiver
{
    // The last record of a call then has nearly all of the time that a call may take.
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(1);

    private readonly IGrainContext _grain = context.GrainContext;
    private readonly SemaphoreSlim _turn = new(1);
    // One entry a topic, unless a producer chose partitions or the topic was created again.
    private readonly Dictionary<Guid, long> _served = [];
    private (Guid Source, long Offset)? _current;
    // What is in memory may not be what is stored.
    private bool _hasFailed;

    /// <inheritdoc/>
    public async Task<DeliveryAnswer> DeliverAsync(RecordDelivery delivery)
    {
        if (classes.Find(_grain.GrainId.Type, delivery.Topic) is not { } consumer)
        {
            return new DeliveryAnswer(0, DeliveryOutcome.Unreachable, "The grain is active on a silo whose version of its class does not "
                + "consume the topic. The record waits for one that does.");
        }
        activations.Begin(_grain);
        try
        {
            return await InTurnAsync(consumer, delivery);
        }
        finally
        {
            activations.End(_grain);
        }
    }

    /// <inheritdoc/>
    public Task<long?> FindCurrentAsync(Guid source) =>
        Task.FromResult(_current is var (current, offset) && current == source ? offset : (long?)null);

    private async Task<DeliveryAnswer> InTurnAsync(ConsumerClass consumer, RecordDelivery delivery)
    {
        var began = TimeProvider.System.GetTimestamp();
        // A dispatcher that could not settle what it delivers may still wait for its call, also where calls interleave.
        if (!await _turn.WaitAsync(options.TurnTimeout))
            return new DeliveryAnswer(0, DeliveryOutcome.Unreachable, "The grain still handles a record that was delivered before.");
        try
        {
            // Calls of a reentrant grain that wait here run before it ends.
            return !_hasFailed ? await ConsumeAsync(consumer, delivery, began) : new DeliveryAnswer(0, DeliveryOutcome.Unreachable,
                "The activation ends, since an earlier record failed. The record waits for the next one.");
        }
        finally
        {
            _current = null;
            _turn.Release();
        }
    }

    private async Task<DeliveryAnswer> ConsumeAsync(ConsumerClass consumer, RecordDelivery delivery, long began)
    {
        var source = delivery.SourceInQueue;
        // Delivered before, by a dispatcher that could not settle them.
        var count = _served.TryGetValue(source, out var served) ? delivery.Items.TakeWhile(item => item.Offset <= served).Count() : 0;
        foreach (var item in delivery.Items.AsSpan(0, count))
            Skipped(delivery, item);
        while (count < delivery.Items.Length)
        {
            var item = delivery.Items[count];
            _current = (source, item.Offset);
            if (await ConsumeAsync(consumer, delivery, item) is { } unserved)
                return unserved with { Count = count };
            _served[source] = item.Offset;
            count++;
            if (TimeProvider.System.GetElapsedTime(began) > Longest)
                break;
        }
        return new DeliveryAnswer(count, DeliveryOutcome.Served);
    }

    // Returns why the record is not served; null: it is.
    private async Task<DeliveryAnswer?> ConsumeAsync(ConsumerClass consumer, RecordDelivery delivery, ConsumedItem item)
    {
        Func<object, ConsumedRecord, Task> call;
        try
        {
            call = consumer.Reader.Read(item.Value);
        }
        catch (Exception refused)
        {
            return new DeliveryAnswer(0, DeliveryOutcome.Unreadable, $"The value is none that the class consumes: {Causes.Of(refused)}");
        }
        try
        {
            var record = RecordOf(delivery, item);
            await call(_grain.GrainInstance!, record);
            if (record.IsSkipped)
                Skipped(delivery, item);
            return null;
        }
        catch (Exception thrown)
        {
            // What the call has changed in memory and not stored is forgotten. With an exception as the reason, Orleans would throw it to
            // the other callers of the grain that wait; without one the next activation answers them.
            if (options.DeactivateOnFailure)
            {
                _hasFailed = true;
                _grain.Deactivate(new DeactivationReason(DeactivationReasonCode.ApplicationError,
                    $"Consuming {delivery.Topic}-{delivery.Partition}, offset {item.Offset}, failed: {Causes.Of(thrown)}"));
            }
            return new DeliveryAnswer(0, DeliveryOutcome.Failed, Causes.Of(thrown));
        }
    }

    // One that comes again is skipped where its effect is stored. One that never came is skipped where the cursor was reset, for example.
    private void Skipped(RecordDelivery delivery, ConsumedItem item)
    {
        if (item is { Attempt: 1, IsRedelivered: false })
            LogSkipped(delivery.Topic, delivery.Partition, item.Offset, _grain.GrainId);
    }

    [LoggerMessage(1, LogLevel.Information, "The record at {Topic}-{Partition}, offset {Offset}, is skipped by grain {Grain}, which has "
        + "handled this or a later record of its key before.")]
    private partial void LogSkipped(string topic, int partition, long offset, GrainId grain);

    private static ConsumedRecord RecordOf(RecordDelivery delivery, ConsumedItem item) =>
        new(RecordPosition.Of(delivery.TopicId, delivery.Partition, delivery.Key, item.Offset))
        {
            Topic = delivery.Topic,
            Time = DateTimeOffset.FromUnixTimeMilliseconds(item.Timestamp),
            Key = delivery.Key,
            Headers = [.. item.Headers.Select(static header => new RecordHeader(header.Key,
                header.Value is null ? (ReadOnlyMemory<byte>?)null : header.Value))],
            Attempt = item.Attempt,
            IsRedelivered = item.IsRedelivered,
        };
}
