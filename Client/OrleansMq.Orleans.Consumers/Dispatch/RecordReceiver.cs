using Microsoft.Extensions.Logging;
using OrleansMq.Client;

namespace OrleansMq.Consumers;

/// <summary>Passes records of topics to one activation. Runs in the activation's turns.</summary>
internal sealed partial class RecordReceiver : IRecordReceiver
{
    private readonly IGrainContext _grain;
    private readonly ConsumerClasses _classes;
    private readonly ConsumingActivations _activations;
    private readonly ILogger _logger;
    private readonly RecordTurns _turns;
    private readonly LastSource _source = new();

    /// <summary>Creates the receiver of an activation.</summary>
    /// <param name="context">The activation.</param>
    /// <param name="classes">What the grain classes of this silo consume.</param>
    /// <param name="activations">The activations of this silo that consume.</param>
    /// <param name="options">The options.</param>
    /// <param name="dispatcher">The dispatcher of this silo, which ends with it.</param>
    /// <param name="logger">Takes records that are skipped.</param>
    public RecordReceiver(IGrainContextAccessor context, ConsumerClasses classes, ConsumingActivations activations,
        OrleansMqConsumerOptions options, ConsumerDispatcher dispatcher, ILogger<RecordReceiver> logger)
    {
        (_grain, _classes, _activations, _logger) = (context.GrainContext, classes, activations, logger);
        _turns = new RecordTurns(_grain, options.Turns, Skipped, dispatcher.Stopping);
    }

    /// <inheritdoc/>
    public async Task<DeliveryAnswer> DeliverAsync(RecordDelivery delivery, CancellationToken cancellationToken)
    {
        if (_classes.Find(_grain.GrainId.Type, delivery.Topic) is not { } consumer)
        {
            return new DeliveryAnswer(0, DeliveryOutcome.Unreachable, "The grain is active on a silo whose version of its class does not "
                + "consume the topic. The record waits for one that does.");
        }
        _activations.Begin(_grain);
        try
        {
            return await _turns.DeliverAsync(delivery, item => Read(consumer, delivery, item), cancellationToken);
        }
        finally
        {
            _activations.End(_grain);
        }
    }

    /// <inheritdoc/>
    public Task<long?> FindCurrentAsync(Guid source) => Task.FromResult(_turns.FindCurrent(source));

    /// <inheritdoc/>
    public Task<bool> IsDeliveringAsync(Guid delivery) => Task.FromResult(_turns.IsDelivering(delivery));

    private ReadRecord Read(ConsumerClass consumer, RecordDelivery delivery, ConsumedItem item)
    {
        var call = consumer.Reader.Read(item.Value);
        return new ReadRecord(CallAsync, null);

        async Task CallAsync(CancellationToken cancellationToken)
        {
            var record = RecordOf(delivery, item);
            await call(_grain.GrainInstance!, record, cancellationToken);
            if (record.IsSkipped)
                Skipped(delivery, item);
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

    private ConsumedRecord RecordOf(RecordDelivery delivery, ConsumedItem item) =>
        new(new RecordPosition(_source.Of(delivery.TopicId, delivery.Partition, delivery.Key), delivery.Partition, item.Offset))
        {
            Topic = delivery.Topic,
            Time = RecordTimes.Of(item.Timestamp),
            Key = delivery.Key,
            Headers = [.. item.Headers.Select(static header => new RecordHeader(header.Key,
                header.Value is null ? (ReadOnlyMemory<byte>?)null : header.Value))],
            Attempt = item.Attempt,
            IsRedelivered = item.IsRedelivered,
        };
}
